//! The administrators' webhook: signed, in order, once for each message where it answers, and at nobody's cost
//! where it does not.

use std::process::Command;
use std::time::Duration;

use common::admin_alert::{Kind, State};
use harness::{Engine, Hook, Post, Site, envelope, event, said, until};

use super::{SECRET, empty_dead, send_garbage, site, told, until_told, workers};

/// Waits until a post about the kind with this state was answered so.
async fn until_posted(hook: &Hook, kind: &str, state: &str, status: u16) -> Post {
    until(&format!("{kind} {state} is answered {status}"), async || {
        hook.posts().into_iter().find(|post| {
            let body = post.json();
            body["kind"] == kind && body["state"] == state && post.status == status
        })
    })
    .await
}

/// Python's own HMAC says whether the post is signed with this secret, as docs/operations.md tells receivers.
fn is_signed(post: &Post, secret: &str) -> bool {
    const VERIFY: &str = "import hashlib, hmac, sys
secret, timestamp, signature = sys.argv[1:]
expected = hmac.new(secret.encode(), timestamp.encode() + b'.' + sys.stdin.buffer.read(), hashlib.sha256)
sys.exit(not hmac.compare_digest('sha256=' + expected.hexdigest(), signature))";
    let header = |name| post.header(name).unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", VERIFY, secret, header("devtrail-timestamp"), header("devtrail-signature")]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().expect("python3 runs");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &post.body).unwrap();
    child.wait().unwrap().success()
}

/// Promise: Each message of ADMIN is posted to `--admin-webhook-url` as `application/json`
/// Promise: `Devtrail-Alert-Id` is `<alert id>:<revision>`
/// Promise: `Devtrail-Timestamp` is when it was tried
/// Promise: `Devtrail-Signature` is `sha256=` and the hex of HMAC-SHA256
async fn raised_and_resolved_are_posted_in_order_and_signed(engine: Engine) {
    let (mut site, _) = site(engine).await;
    let hook = Hook::start().await;
    workers(&mut site, engine, Some(&hook), &[]);
    send_garbage(&site).await;
    let raised = until_posted(&hook, "dead_letter", "raised", 204).await;
    empty_dead(&site).await;
    let resolved = until_posted(&hook, "dead_letter", "resolved", 204).await;
    assert_eq!(raised.json()["alert_id"], resolved.json()["alert_id"]);
    for post in [&raised, &resolved] {
        assert_eq!(post.header("content-type"), Some("application/json"));
        let (body, timestamp) = (post.json(), post.header("devtrail-timestamp").unwrap());
        let id = format!("{}:{}", body["alert_id"].as_str().unwrap(), body["revision"]);
        assert_eq!(post.header("devtrail-alert-id"), Some(&*id));
        assert!(timestamp.parse::<u64>().is_ok(), "{timestamp}");
        assert!(is_signed(post, SECRET) && !is_signed(post, "another"));
    }
    // What ADMIN has, in its order, each once.
    let stream: Vec<String> =
        told(&site, Kind::DeadLetter).await.iter().map(|alert| alert.message_id()).collect();
    let posts = hook.posts().into_iter().filter(|post| post.json()["kind"] == "dead_letter");
    let posted: Vec<String> =
        posts.map(|post| post.header("devtrail-alert-id").unwrap().to_owned()).collect();
    assert_eq!(posted, stream);
}

/// A batch is stored at once, whatever the webhook does.
async fn stores_at_once(site: &Site, client: &harness::Client, id: &str) {
    let reply = client.send_waiting(&envelope(id, &[event(id)]), 30).await;
    assert_eq!(reply.status, 200, "{} {}", reply.body, site.logs());
}

/// Promise: 408, 429, 5xx and no answer are tried again
/// Promise: A webhook that is away holds up nothing else
async fn a_webhook_that_is_away_holds_up_nothing_and_gets_all_when_it_is_back(engine: Engine) {
    let (mut site, client) = site(engine).await;
    let hook = Hook::start().await;
    hook.answer(500, Duration::ZERO);
    workers(&mut site, engine, Some(&hook), &[]);
    send_garbage(&site).await;
    until_posted(&hook, "dead_letter", "raised", 500).await;
    stores_at_once(&site, &client, "while-it-fails").await;
    // Five failures in a row open its breaker, which is told as well.
    until_told(&site, Kind::BreakerOpen, "webhook:admin", State::Raised).await;
    hook.answer(204, Duration::from_secs(3));
    until_posted(&hook, "dead_letter", "raised", 204).await;
    stores_at_once(&site, &client, "while-it-is-slow").await;
    hook.answer(204, Duration::ZERO);
    until_told(&site, Kind::BreakerOpen, "webhook:admin", State::Resolved).await;
    let first = until_posted(&hook, "breaker_open", "resolved", 204).await;
    let tries = hook.posts().into_iter().filter(|post| post.json()["kind"] == "dead_letter");
    let ids: Vec<Option<String>> =
        tries.map(|post| post.header("devtrail-alert-id").map(str::to_owned)).collect();
    assert!(ids.len() >= 6 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(is_signed(&first, SECRET));
    site.completed(2).await;
}

harness::on_both_stores!(
    raised_and_resolved_are_posted_in_order_and_signed,
    a_webhook_that_is_away_holds_up_nothing_and_gets_all_when_it_is_back,
);

/// Promise: Any other answer is a refusal
/// Promise: It is logged, and the message is not posted again.
/// Promise: Redirects are not followed.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_with_another_secret_refuses_and_that_is_said_without_the_secret() {
    let (mut site, _) = site(Engine::Sqlite).await;
    let hook = Hook::start().await;
    // As a receiver answers that finds the signature wrong.
    hook.answer(401, Duration::ZERO);
    workers(&mut site, Engine::Sqlite, Some(&hook), &[]);
    send_garbage(&site).await;
    until_posted(&hook, "dead_letter", "raised", 401).await;
    until("the refusal is logged", async || {
        let log = site.log("all");
        log.contains("the admin webhook answered 401").then_some(())
    })
    .await;
    hook.answer(307, Duration::ZERO);
    empty_dead(&site).await;
    until_posted(&hook, "dead_letter", "resolved", 307).await;
    until("the redirect is logged", async || site.log("all").contains("answered 307").then_some(())).await;
    assert_eq!(hook.posts().len(), 2, "a redirect is not followed");
    let raised = hook.posts().into_iter().filter(|post| post.json()["state"] == "raised").count();
    assert_eq!(raised, 1, "what is refused is not posted again");
    assert!(!site.log("all").contains(SECRET));
    let shown = site.run(
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
        said(&shown)
    );
    assert!(!text.contains(SECRET) && !text.contains("t0ken"), "{text}");
}
