//! The webhook: signed, in order, once for each message, and nothing waits for it.

use std::process::Command;
use std::time::Duration;

use harness::{
    Deployment, Engine, WebhookPost, WebhookReceiver, envelope, event, stderr_of, until,
};
use types::admin_alert::{AlertKind, AlertState};

use super::{SECRET, deployment, empty_dead, published, send_garbage, until_alert, workers};

/// Waits until a post about the kind with this state was answered so.
async fn until_posted(hook: &WebhookReceiver, kind: &str, state: &str, status: u16) -> WebhookPost {
    until(
        &format!("{kind} {state} is answered {status}"),
        async || {
            hook.posts().into_iter().find(|post| {
                let body = post.json();
                body["kind"] == kind && body["state"] == state && post.status == status
            })
        },
    )
    .await
}

/// Python's own HMAC says whether the post is signed with this secret, as docs/operations.md tells receivers.
fn is_signed(post: &WebhookPost, secret: &str) -> bool {
    const VERIFY: &str = "import hashlib, hmac, sys
secret, timestamp, signature = sys.argv[1:]
expected = hmac.new(secret.encode(), timestamp.encode() + b'.' + sys.stdin.buffer.read(), hashlib.sha256)
sys.exit(not hmac.compare_digest('sha256=' + expected.hexdigest(), signature))";
    let header = |name| post.header(name).unwrap();
    let mut command = Command::new("python3");
    command.args([
        "-c",
        VERIFY,
        secret,
        header("devtrail-timestamp"),
        header("devtrail-signature"),
    ]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("python3 runs");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &post.body).unwrap();
    child.wait().unwrap().success()
}

/// Contract: webhook.posts, webhook.alert-id, webhook.timestamp, webhook.signature
async fn raised_and_resolved_are_posted_in_order_and_signed(engine: Engine) {
    let (mut deployment, _) = deployment(engine).await;
    let hook = WebhookReceiver::start().await;
    workers(&mut deployment, engine, Some(&hook), &[]);
    send_garbage(&deployment).await;
    let raised = until_posted(&hook, "dead_letter", "raised", 204).await;
    empty_dead(&deployment).await;
    let resolved = until_posted(&hook, "dead_letter", "resolved", 204).await;
    assert_eq!(raised.json()["alert_id"], resolved.json()["alert_id"]);
    for post in [&raised, &resolved] {
        assert_eq!(post.header("content-type"), Some("application/json"));
        let body = post.json();
        let timestamp = post.header("devtrail-timestamp").unwrap();
        let id = format!(
            "{}:{}",
            body["alert_id"].as_str().unwrap(),
            body["revision"]
        );
        assert_eq!(post.header("devtrail-alert-id"), Some(&*id));
        assert!(timestamp.parse::<u64>().is_ok(), "{timestamp}");
        assert!(is_signed(post, SECRET) && !is_signed(post, "another"));
    }
    // What ADMIN has, in its order, each once.
    let stream: Vec<String> = published(&deployment, AlertKind::DeadLetter)
        .await
        .iter()
        .map(|alert| alert.message_id())
        .collect();
    let posts = hook
        .posts()
        .into_iter()
        .filter(|post| post.json()["kind"] == "dead_letter");
    let posted: Vec<String> = posts
        .map(|post| post.header("devtrail-alert-id").unwrap().to_owned())
        .collect();
    assert_eq!(posted, stream);
}

/// A batch is stored at once, whatever the webhook does.
async fn stores_at_once(deployment: &Deployment, client: &harness::Client, id: &str) {
    let reply = client.send_waiting(&envelope(id, &[event(id)]), 30).await;
    assert_eq!(reply.status, 200, "{} {}", reply.body, deployment.logs());
}

/// Contract: webhook.retried, webhook.isolated
async fn a_webhook_outage_delays_nothing_and_is_caught_up(engine: Engine) {
    let (mut deployment, client) = deployment(engine).await;
    let hook = WebhookReceiver::start().await;
    hook.answer(500, Duration::ZERO);
    workers(&mut deployment, engine, Some(&hook), &[]);
    send_garbage(&deployment).await;
    until_posted(&hook, "dead_letter", "raised", 500).await;
    stores_at_once(&deployment, &client, "while-it-fails").await;
    // Five failures in a row open its breaker, which is reported as well.
    until_alert(
        &deployment,
        AlertKind::BreakerOpen,
        "webhook:admin",
        AlertState::Raised,
    )
    .await;
    // Just within its patience of 10 s.
    hook.answer(204, Duration::from_secs(9));
    until_posted(&hook, "dead_letter", "raised", 204).await;
    stores_at_once(&deployment, &client, "while-it-is-slow").await;
    let is_slow = |post: &harness::WebhookPost| post.status == 204 && !post.answered;
    assert!(
        hook.posts().iter().any(is_slow),
        "the batch was stored before the receiver had answered"
    );
    hook.answer(204, Duration::ZERO);
    until_alert(
        &deployment,
        AlertKind::BreakerOpen,
        "webhook:admin",
        AlertState::Resolved,
    )
    .await;
    let first = until_posted(&hook, "breaker_open", "resolved", 204).await;
    let tries = hook
        .posts()
        .into_iter()
        .filter(|post| post.json()["kind"] == "dead_letter");
    let ids: Vec<Option<String>> = tries
        .map(|post| post.header("devtrail-alert-id").map(str::to_owned))
        .collect();
    assert!(
        ids.len() >= 6 && ids.iter().all(|id| *id == ids[0]),
        "{ids:?}"
    );
    assert!(is_signed(&first, SECRET));
    deployment.completed(2).await;
}

harness::on_both_stores!(
    raised_and_resolved_are_posted_in_order_and_signed,
    a_webhook_outage_delays_nothing_and_is_caught_up,
);

/// How often it is tried, and when it is left alone, is the administrator's as for all that fails.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_left_alone_after_as_many_failures_as_the_flags_say() {
    let (mut deployment, _) = deployment(Engine::Sqlite).await;
    let hook = WebhookReceiver::start().await;
    hook.answer(500, Duration::ZERO);
    let flags = [
        "--breaker-in-a-row",
        "2",
        "--breaker-open-for",
        "60s",
        "--retry-cap",
        "50ms",
    ];
    workers(&mut deployment, Engine::Sqlite, Some(&hook), &flags);
    send_garbage(&deployment).await;
    until_alert(
        &deployment,
        AlertKind::BreakerOpen,
        "webhook:admin",
        AlertState::Raised,
    )
    .await;
    assert_eq!(hook.posts().len(), 2);
}

/// Contract: webhook.misconfigured
#[tokio::test(flavor = "multi_thread")]
async fn denied_alerts_arrive_once_the_hidden_secret_is_fixed() {
    let (mut deployment, _) = deployment(Engine::Sqlite).await;
    let hook = WebhookReceiver::start().await;
    // As a receiver answers that finds the signature wrong.
    hook.answer(401, Duration::ZERO);
    workers(&mut deployment, Engine::Sqlite, Some(&hook), &[]);
    send_garbage(&deployment).await;
    until_posted(&hook, "dead_letter", "raised", 401).await;
    until("it is logged", async || {
        let log = deployment.log("all");
        (log.contains("answered 401") && log.contains("the admin webhook takes no messages"))
            .then_some(())
    })
    .await;
    for status in [403, 404, 307] {
        hook.answer(status, Duration::ZERO);
        until_posted(&hook, "dead_letter", "raised", status).await;
    }
    until_alert(
        &deployment,
        AlertKind::BreakerOpen,
        "webhook:admin",
        AlertState::Raised,
    )
    .await;
    assert!(
        hook.posts()
            .iter()
            .all(|post| post.json()["kind"] == "dead_letter"),
        "the others wait"
    );
    hook.answer(204, Duration::ZERO);
    until_posted(&hook, "dead_letter", "raised", 204).await;
    until_posted(&hook, "breaker_open", "raised", 204).await;
    assert!(!deployment.log("all").contains(SECRET));
    let shown = deployment.run(
        "devtrail-worker",
        &[
            "all",
            "--admin-webhook-url",
            "https://hooks.example/t0ken",
            "--admin-webhook-secret",
            SECRET,
            "--print-config",
        ],
    );
    let text = String::from_utf8(shown.stdout.clone()).unwrap();
    assert!(
        shown.status.success() && text.contains("admin-webhook-secret = \"***\""),
        "{text}{}",
        stderr_of(&shown)
    );
    assert!(!text.contains(SECRET) && !text.contains("t0ken"), "{text}");
}

/// Contract: webhook.refused
#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_refuses_is_not_posted_again() {
    let (mut deployment, _) = deployment(Engine::Sqlite).await;
    let hook = WebhookReceiver::start().await;
    hook.answer(422, Duration::ZERO);
    workers(&mut deployment, Engine::Sqlite, Some(&hook), &[]);
    send_garbage(&deployment).await;
    until_posted(&hook, "dead_letter", "raised", 422).await;
    hook.answer(204, Duration::ZERO);
    empty_dead(&deployment).await;
    until_posted(&hook, "dead_letter", "resolved", 204).await;
    assert_eq!(hook.posts().len(), 2);
    assert!(
        deployment
            .log("all")
            .contains("a message was rejected: it is not posted again")
    );
}

/// Contract: webhook.skipped
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_always_fails_is_skipped_in_the_end() {
    let (mut deployment, _) = deployment(Engine::Sqlite).await;
    let hook = WebhookReceiver::start().await;
    workers(
        &mut deployment,
        Engine::Sqlite,
        Some(&hook),
        &["--admin-webhook-patience", "1s"],
    );
    for status in [408, 429, 500] {
        hook.answer(status, Duration::ZERO);
        if status == 408 {
            send_garbage(&deployment).await;
        }
        until_posted(&hook, "dead_letter", "raised", status).await;
    }
    until("it is skipped", async || {
        deployment
            .log("all")
            .contains("a message is skipped")
            .then_some(())
    })
    .await;
    hook.answer(204, Duration::ZERO);
    empty_dead(&deployment).await;
    until_posted(&hook, "dead_letter", "resolved", 204).await;
    let raised = hook.posts().into_iter().filter(|post| {
        let body = post.json();
        body["kind"] == "dead_letter" && body["state"] == "raised"
    });
    let statuses: Vec<u16> = raised.map(|post| post.status).collect();
    assert!(
        statuses.len() >= 5 && !statuses.contains(&204),
        "{statuses:?}"
    );
}

/// Nobody listens there at first; then one that says nothing; then one that answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_silent_receiver_gets_all_when_it_answers() {
    let (mut deployment, _) = deployment(Engine::Sqlite).await;
    let (hook, port) = WebhookReceiver::reserved();
    workers(&mut deployment, Engine::Sqlite, Some(&hook), &[]);
    send_garbage(&deployment).await;
    until("a refused connection is logged", async || {
        let log = deployment.log("all");
        (log.contains("the admin webhook gave no answer") && log.contains("Connection refused"))
            .then_some(())
    })
    .await;
    hook.answer(204, Duration::from_secs(60));
    hook.listen(port).await;
    until("it is posted", async || {
        (!hook.posts().is_empty()).then_some(())
    })
    .await;
    hook.answer(204, Duration::ZERO);
    until("it is posted again", async || {
        (hook.posts().len() > 1).then_some(())
    })
    .await;
    let posts = hook.posts();
    assert_eq!(
        posts[0].header("devtrail-alert-id"),
        posts[1].header("devtrail-alert-id"),
        "in order"
    );
}
