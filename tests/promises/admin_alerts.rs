//! Alerts to administrators: in the stream ADMIN, by the webhook, by the command; each once, whichever process dies.

mod breakers;
mod conditions;
mod killed;
mod webhook;

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use bus::admin_alerts;
use harness::{Client, Deployment, Engine, WebhookReceiver, until};
use types::admin_alert::{AdminAlert, AlertKind, AlertState};

/// What the posts are signed with.
const SECRET: &str = "s3cret-of-the-hook";

/// A watcher that looks often and waits for nothing.
const QUICK: [&str; 10] = [
    "--alert-every",
    "100ms",
    "--alert-settle",
    "0s",
    "--alert-repeat",
    "0s",
    "--alert-rate",
    "1000",
    // The machine's disk is not the test's business.
    "--alert-disk",
    "100",
];

/// A deployment with a collector, and a client of it.
async fn deployment(engine: Engine) -> (Deployment, Client) {
    let mut deployment = Deployment::start(engine).await;
    shorten_life(&deployment).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    (deployment, client)
}

/// Entries of the worker registry, and leases, live three seconds instead of fifteen.
async fn shorten_life(deployment: &Deployment) {
    let short = |config: &mut Config| {
        config.max_age = Duration::from_secs(3);
        config.duplicate_window = Duration::from_secs(3);
    };
    deployment.streams().await.edit("KV_workers", short).await;
}

/// Starts workers for every role with a quick watcher that posts to `hook`, and these arguments.
fn workers(
    deployment: &mut Deployment,
    engine: Engine,
    hook: Option<&WebhookReceiver>,
    arguments: &[&str],
) {
    let mut all = [QUICK.as_slice(), arguments].concat();
    if let Some(hook) = hook {
        all.extend([
            "--admin-webhook-url",
            &hook.url,
            "--admin-webhook-secret",
            SECRET,
        ]);
    }
    let roles: &[&str] = if engine == Engine::Sqlite {
        &["all"]
    } else {
        &harness::ROLES
    };
    for role in roles {
        deployment.worker_given(role, role, &all, None);
    }
}

/// Something that no worker can read.
async fn send_garbage(deployment: &Deployment) {
    let js = deployment.js().await;
    js.publish("events.batch.ada", "no batch at all".into())
        .await
        .unwrap()
        .await
        .unwrap();
}

async fn empty_dead(deployment: &Deployment) {
    let purged = deployment
        .js()
        .await
        .get_stream("DEAD")
        .await
        .unwrap()
        .purge()
        .await
        .unwrap();
    assert!(purged.success && purged.purged > 0);
}

/// The messages of ADMIN about this kind, oldest first.
async fn published(deployment: &Deployment, kind: AlertKind) -> Vec<AdminAlert> {
    let alerts = admin_alerts(&deployment.js().await, 1)
        .await
        .unwrap()
        .alerts;
    alerts
        .into_iter()
        .filter(|alert| alert.kind == kind)
        .collect()
}

/// Waits until the newest message about the kind and subject is of this state.
async fn until_alert(
    deployment: &Deployment,
    kind: AlertKind,
    subject: &str,
    state: AlertState,
) -> AdminAlert {
    let what = format!("{} of {subject} is {state:?}", kind.as_str());
    until(&what, async || {
        let newest = published(deployment, kind)
            .await
            .into_iter()
            .rfind(|alert| alert.subject == subject)?;
        (newest.state == state).then_some(newest)
    })
    .await
}
