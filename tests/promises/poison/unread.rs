//! What the client library cannot take: neighbours get lost with the connection, or the client ends.

use std::time::Duration;

use harness::{Engine, Site, envelope, event};

use super::{dead, dead::letters, kinds, nothing_is_left};

const LONG: Duration = Duration::from_secs(3600);

/// What came after it in the same request got lost: it is asked for again, long before its `ack_wait` is over.
async fn neighbours_of_what_breaks_the_connection_need_not_wait(engine: Engine) {
    let mut site = Site::start(engine).await;
    // Jobs that get lost with the same connection are no neighbours.
    site.shorten_ack_wait().await;
    site.set_ack_wait("EVENTS", LONG).await;
    let url = site.collector("collector").await;
    let client = site.client(&url, "ada").await;
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
            poison.publish(&site).await;
        }
    }
    site.workers(1);
    site.completed(20).await;
    letters(&site, 4).await;
    nothing_is_left(&site).await;
}

/// A lone carriage return makes the client panic: the worker says so and ends. Its next start gives the message up.
async fn a_message_that_ends_the_client_is_given_up_by_the_next_process(engine: Engine) {
    let mut site = Site::start(engine).await;
    site.set_ack_wait("EVENTS", LONG).await;
    let url = site.collector("collector").await;
    let client = site.client(&url, "ada").await;
    client.send(&envelope("before", &[event("e-before")])).await;
    let poison = kinds::unreadable(
        "events.batch.ada",
        b"NATS/1.0\r\nA: x\ry\r\n\r\n",
        b"ends it",
    );
    poison.publish(&site).await;
    client.send(&envelope("after", &[event("e-after")])).await;
    if engine == Engine::Postgres {
        for role in harness::ROLES.into_iter().filter(|role| *role != "persist") {
            site.worker(role, role, None);
        }
    }
    let role = site.role("persist").to_owned();
    site.worker("dies", &role, None);
    let status = site.ended("dies").await;
    assert_eq!(status.code(), Some(1), "{}", site.log("dies"));
    assert!(
        site.log("dies").contains("ended for good over a message"),
        "{}",
        site.log("dies")
    );
    assert_eq!(dead::count(&site).await, 0);
    site.worker("lives", &role, None);
    poison.check(&letters(&site, 1).await);
    site.completed(2).await;
    nothing_is_left(&site).await;
    assert_eq!(site.verify()["dead"], 1);
}

/// Large messages fill a request's bytes: that is no trouble, and none is left out, by the workers or by verify.
async fn messages_that_fill_a_request_are_all_handled(engine: Engine) {
    let mut site = Site::start(engine).await;
    let url = site.collector("collector").await;
    let client = site.client(&url, "ada").await;
    // Six of some 3 MB: more than the 16 MiB that a request, and a page of verify, may bring.
    for batch in 0..6 {
        let mut events: Vec<_> = (0..200)
            .map(|number| event(&format!("e-{batch}-{number}")))
            .collect();
        events
            .iter_mut()
            .for_each(|event| event["data"]["padding"] = "x".repeat(15_000).into());
        client.send(&envelope(&format!("b-{batch}"), &events)).await;
    }
    site.workers(1);
    site.completed(6).await;
    let names = site.names();
    let broke = |name: &&String| site.log(name).contains("pulling broke off");
    assert_eq!(names.iter().find(broke), None);
    let report = site.verify();
    assert_eq!(
        (&report["messages"], &report["stored"]),
        (&6.into(), &1200.into()),
        "{report}"
    );
    assert_eq!(report["events"], 1200, "each was read: {report}");
}

harness::on_both_stores!(
    a_message_that_ends_the_client_is_given_up_by_the_next_process,
    messages_that_fill_a_request_are_all_handled,
    neighbours_of_what_breaks_the_connection_need_not_wait,
);
