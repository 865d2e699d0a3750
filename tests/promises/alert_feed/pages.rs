//! What a page of ALERTS holds, against the list of what was published.

use bus::direct_get::{self, PageBounds};
use harness::{Deployment, Engine};
use serde_json::json;

use super::publish;

/// A message that was published.
struct Published {
    seq: u64,
    developer: usize,
    /// Of subject and payload, as the server counts.
    bytes: usize,
}

/// Contract: alerts.next, alerts.own
#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_what_a_look_at_every_message_finds() {
    const DEVELOPERS: usize = 4;
    let deployment = Deployment::start(Engine::Sqlite).await;
    let js = deployment.js().await;
    let mut random = fastrand::Rng::with_seed(18);
    let mut all = Vec::new();
    for number in 0..200 {
        // The last one has no alert at all.
        let developer = random.usize(..DEVELOPERS - 1);
        let severity = random.choice(["critical", "high", "warning", "info"]);
        let more = json!({"severity": severity.unwrap(), "note": "y".repeat(random.usize(..2000))});
        let name = format!("dev{developer}");
        let seq = publish(&js, &name, number, &more).await;
        let stored = bus::stored_messages::get(&js, "ALERTS", seq).await.unwrap();
        let stored = stored.unwrap();
        all.push(Published {
            seq,
            developer,
            bytes: stored.subject.len() + stored.payload.len(),
        });
    }
    // Some are gone, as old ones go.
    let stream = js.get_stream("ALERTS").await.unwrap();
    for _ in 0..20 {
        let gone = all.swap_remove(random.usize(..all.len()));
        assert!(stream.delete_message(gone.seq).await.unwrap());
    }
    all.sort_by_key(|message| message.seq);
    for _ in 0..300 {
        let developer = random.usize(..DEVELOPERS);
        let from = random.u64(..220);
        let bounds = PageBounds {
            messages: random.usize(1..30),
            bytes: random.usize(1..20_000),
        };
        let mut expected = Vec::new();
        let mut bytes = 0;
        let own = |message: &&Published| message.developer == developer && message.seq >= from;
        for message in all.iter().filter(own).take(bounds.messages) {
            expected.push(message.seq);
            bytes += message.bytes;
            if bytes >= bounds.bytes {
                break;
            }
        }
        let subject = format!("alerts.*.dev{developer}");
        let page = direct_get::page(&js, "ALERTS", &subject, from, bounds).await;
        let page: Vec<u64> = page.unwrap().iter().map(|message| message.seq).collect();
        assert_eq!(page, expected, "{subject} from {from}, {bounds:?}");
    }
    let bounds = PageBounds {
        messages: 1,
        bytes: 1,
    };
    let missing = direct_get::page(&js, "NONE", "alerts.*.dev0", 1, bounds).await;
    assert!(missing.unwrap_err().to_string().contains("503"));
}
