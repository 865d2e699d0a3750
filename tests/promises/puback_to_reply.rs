//! The reply follows the PubAck at once: the spans of a request show nothing in between (R6.5).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::{NatsSettings, sync::SyncSettings};
use collector::{CollectorSettings, OverloadSettings, RequestLimits};
use harness::{Client, DevtrailUp, envelope, event};
use http_server::admin_listener::AdminListenSettings;
use runtime::breaker::BreakerSettings;
use runtime::retry::RetryPolicy;
use runtime::schema_folder::SchemaSettings;
use runtime::settings::Address;
use runtime::{
    process::{Actor, Process},
    shutdown::Shutdown,
};
use tracing::span;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Writes down what happens inside requests: spans as they begin and end, and events.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

fn in_request<S: tracing::Subscriber + for<'a> LookupSpan<'a>>(
    context: &Context<'_, S>,
    id: &span::Id,
) -> Option<&'static str> {
    let span = context.span(id)?;
    let inside = span
        .parent()?
        .scope()
        .any(|outer| outer.name() == "request");
    inside.then(|| span.name())
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, _: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        if let Some(name) = in_request(&context, id) {
            self.note(format!("{name} begins"));
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let inside = context
            .event_scope(event)
            .is_some_and(|mut scope| scope.any(|outer| outer.name() == "request"));
        if inside {
            self.note(format!("event of {}", event.metadata().target()));
        }
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        if let Some(name) = in_request(&context, &id) {
            self.note(format!("{name} ends"));
        }
    }
}

fn settings(up: &DevtrailUp) -> CollectorSettings {
    CollectorSettings {
        clients: collector::ClientSettings::default(),
        admin: AdminListenSettings::default(),
        listen: "127.0.0.1:0".to_owned(),
        nats: NatsSettings {
            nats_url: bus::NatsAddress::parse(&up.address("nats")).unwrap(),
            login: bus::NatsLoginArgs::default(),
        },
        sync: SyncSettings {
            nats_monitor_url: vec![Address::new(up.address("monitor"))],
            allow_unsafe_sync: false,
        },
        limits: RequestLimits {
            max_events: 1000,
            rate: 0,
            max_body: 1 << 22,
            max_ratio: 100,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            publish_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            alert_keep_alive: Duration::from_secs(15),
            overload: OverloadSettings::DEFAULT,
        },
        retry: RetryPolicy::DEFAULT,
        breakers: BreakerSettings::DEFAULT,
        schemas: SchemaSettings::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn between_puback_and_reply_there_is_nothing() {
    let up = DevtrailUp::start().await;
    let recorder = Recorder::default();
    tracing_subscriber::registry().with(recorder.clone()).init();
    let shutdown = Shutdown::manual(Duration::from_secs(10));
    let process = Process::new(Actor::new("collector-under-test"), shutdown.clone());
    let settings = settings(&up);
    let listener = collector::listen(&settings.listen).await.unwrap();
    let client = Client::new(
        &format!("http://{}", listener.local_addr().unwrap()),
        up.client().key(),
    );
    let running = tokio::spawn(collector::run(settings, listener, process));
    while client.get("/health/ready").await.status() != 200 {
        tokio::task::yield_now().await;
    }
    recorder.0.lock().unwrap().clear();
    client.send(&envelope("b1", &[event("e1")])).await;
    let seen = recorder.0.lock().unwrap().clone();
    let steps = ["admit", "publish", "reply"]
        .iter()
        .flat_map(|name| [format!("{name} begins"), format!("{name} ends")]);
    assert_eq!(seen, steps.collect::<Vec<_>>());
    shutdown.begin();
    running.await.unwrap().unwrap();
}
