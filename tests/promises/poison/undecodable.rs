//! Messages that the client library cannot decode: its connection breaks, or the process ends.

use std::time::Duration;

use harness::{Deployment, Engine, envelope, event};

use super::{dead, dead::dead_letters, kinds, nothing_is_left};

const LONG: Duration = Duration::from_secs(3600);

/// What came after it in the same request got lost: it is asked for again, long before its `ack_wait` is over.
async fn neighbours_of_what_breaks_the_connection_need_not_wait(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    // Jobs that get lost with the same connection are no neighbours.
    deployment.streams().await.shorten_ack_wait().await;
    deployment
        .streams()
        .await
        .set_ack_wait("EVENTS", LONG)
        .await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    let poison = kinds::unreadable(
        "events.batch.ada",
        b"NATS/1.0\r\nno colon here\r\n\r\n",
        b"in the middle",
    );
    for number in 0..20 {
        client
            .send(&envelope(
                &format!("b-{number}"),
                &[event(&format!("e-{number}"))],
            ))
            .await;
        if number % 5 == 0 {
            poison.publish(&deployment).await;
        }
    }
    deployment.workers(1);
    deployment.completed(20).await;
    dead_letters(&deployment, 4).await;
    nothing_is_left(&deployment).await;
}

/// A lone carriage return makes the client panic: the worker says so and ends. Its next start gives the message up.
async fn a_message_that_crashes_the_client_is_dead_lettered_next(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    deployment
        .streams()
        .await
        .set_ack_wait("EVENTS", LONG)
        .await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    client.send(&envelope("before", &[event("e-before")])).await;
    let poison = kinds::unreadable(
        "events.batch.ada",
        b"NATS/1.0\r\nA: x\ry\r\n\r\n",
        b"ends it",
    );
    poison.publish(&deployment).await;
    client.send(&envelope("after", &[event("e-after")])).await;
    if engine == Engine::Postgres {
        for role in harness::ROLES.into_iter().filter(|role| *role != "persist") {
            deployment.worker(role, role, None);
        }
    }
    let role = deployment.role("persist").to_owned();
    deployment.worker("dies", &role, None);
    let status = deployment.ended("dies").await;
    assert_eq!(status.code(), Some(1), "{}", deployment.log("dies"));
    assert!(
        deployment
            .log("dies")
            .contains("ended for good over a message"),
        "{}",
        deployment.log("dies")
    );
    assert_eq!(dead::count(&deployment).await, 0);
    deployment.worker("lives", &role, None);
    poison.check(&dead_letters(&deployment, 1).await);
    deployment.completed(2).await;
    nothing_is_left(&deployment).await;
    assert_eq!(deployment.verify()["dead"], 1);
}

/// Large messages fill a request's bytes: that is no failure, and none is left out, by the workers or by verify.
async fn messages_that_fill_a_request_are_all_handled(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    // Six of some 3 MB: more than the 16 MiB that a request, and a page of verify, may bring.
    for batch in 0..6 {
        let mut events: Vec<_> = (0..2)
            .map(|number| event(&format!("e-{batch}-{number}")))
            .collect();
        events
            .iter_mut()
            .for_each(|event| event["data"]["padding"] = "x".repeat(1_500_000).into());
        client.send(&envelope(&format!("b-{batch}"), &events)).await;
    }
    deployment.workers(1);
    deployment.completed(6).await;
    let names = deployment.names();
    let broke = |name: &&String| deployment.log(name).contains("pulling broke off");
    assert_eq!(names.iter().find(broke), None);
    let report = deployment.verify();
    assert_eq!(
        (&report["messages"], &report["stored"]),
        (&6.into(), &12.into()),
        "{report}"
    );
    assert_eq!(report["events"], 12, "each was read: {report}");
}

harness::on_both_stores!(
    a_message_that_crashes_the_client_is_dead_lettered_next,
    messages_that_fill_a_request_are_all_handled,
    neighbours_of_what_breaks_the_connection_need_not_wait,
);
