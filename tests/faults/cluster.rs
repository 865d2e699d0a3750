//! Three nats-servers (R3): the leader of EVENTS is killed under load, and service goes on with two.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use async_nats::jetstream::stream::ClusterInfo;
use harness::{Deployment, Engine, free_address, nats_server, stderr_of, until};

use crate::clients::Load;
use crate::figures::Run;
use crate::run::{conclude, service};
use crate::testbed::Testbed;

const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// One node's addresses.
struct Node {
    name: &'static str,
    client: String,
    monitor: String,
    route: String,
}

/// Starts a node with what `nats/cluster/node.conf` says.
fn start(deployment: &mut Deployment, node: &Node, routes: &str) {
    let port = |address: &str| {
        address
            .rsplit_once(':')
            .expect("an address with a port")
            .1
            .to_owned()
    };
    let mut command = Command::new(nats_server());
    command
        .arg("-c")
        .arg(deployment.path("cluster/node.conf"))
        .args([
            "-n",
            node.name,
            "-a",
            "127.0.0.1",
            "-p",
            &port(&node.client),
        ]);
    command.args([
        "-m",
        &port(&node.monitor),
        "--cluster",
        &format!("nats://{}", node.route),
    ]);
    command
        .args(["--routes", routes])
        .arg("-sd")
        .arg(deployment.path(node.name));
    deployment.spawn(node.name, &mut command);
}

/// The cluster as the stream's leader sees it; `None` if there is no leader, or a node is behind.
async fn settled(deployment: &Deployment, stream: &str) -> Option<ClusterInfo> {
    let addresses = bus::NatsAddress::parse(&deployment.nats).ok()?;
    let js = async_nats::jetstream::new(async_nats::connect(addresses.servers()).await.ok()?);
    let info = js
        .get_stream(stream)
        .await
        .ok()?
        .cached_info()
        .cluster
        .clone()?;
    info.leader.as_ref()?;
    let current = info
        .replicas
        .iter()
        .filter(|replica| replica.current && !replica.offline)
        .count();
    (current + 1 == NODES.len()).then_some(info)
}

/// A deployment on three nodes, its streams with three replicas each.
async fn deployment() -> (Deployment, [Node; 3], String) {
    let mut deployment = Deployment::bare(Engine::Sqlite).await;
    // Its one server makes room for three.
    deployment.kill("nats");
    let address = free_address;
    let nodes = NODES.map(|name| Node {
        name,
        client: address(),
        monitor: address(),
        route: address(),
    });
    let all = |of: &dyn Fn(&Node) -> String| nodes.iter().map(of).collect::<Vec<_>>().join(",");
    let routes = all(&|node| format!("nats://{}", node.route));
    deployment.nats = all(&|node| format!("nats://{}", node.client));
    deployment.monitor = all(&|node| format!("http://{}", node.monitor));
    // Beside the server.conf of the deployment, which it includes.
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nats/cluster/node.conf");
    std::fs::create_dir(deployment.path("cluster")).expect("a folder");
    std::fs::copy(conf, deployment.path("cluster/node.conf")).expect("a copy");
    for node in &nodes {
        start(&mut deployment, node, &routes);
    }
    let applied = async || {
        let output = deployment.run("devtrail", &["streams", "apply"]);
        if !output.status.success() {
            crate::figures::say(&stderr_of(&output));
        }
        output.status.success().then_some(())
    };
    until("the cluster takes the streams", applied).await;
    // What a dead server delivered comes again after seconds.
    deployment.streams().await.shorten_ack_wait().await;
    let js = deployment.js().await;
    for name in bus::topology::declared(types::event_streams::EventStreams::ONE)
        .keys()
        .filter(|name| name.consumer.is_none())
        .cloned()
    {
        let mut config = js
            .get_stream(&name.stream)
            .await
            .expect("the stream")
            .cached_info()
            .config
            .clone();
        config.num_replicas = NODES.len();
        js.update_stream(config).await.expect("three replicas");
        until("a stream has its replicas", async || {
            settled(&deployment, &name.stream).await
        })
        .await;
    }
    (deployment, nodes, routes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_of_three_loses_and_doubles_nothing() {
    let (mut deployment, nodes, routes) = deployment().await;
    let urls = vec![
        deployment.collector("collector-0").await,
        deployment.collector("collector-1").await,
    ];
    deployment.workers(1);
    let load = Load::start(&service(&deployment, urls).await, 1);
    let more = async |what: &str| {
        let then = load.log().acks.len();
        until(what, async || {
            (load.log().acks.len() > then + 40).then_some(())
        })
        .await;
    };
    more("batches are taken").await;
    let info = until("EVENTS has a leader", async || {
        settled(&deployment, "EVENTS").await
    })
    .await;
    let leader = info.leader.expect("settled means led");
    deployment.kill(&leader);
    let faults = BTreeMap::from([("kill -9 leader of EVENTS".to_owned(), 1)]);
    more("service goes on with two of three").await;
    let node = nodes
        .iter()
        .find(|node| node.name == leader)
        .expect("one of ours");
    start(&mut deployment, node, &routes);
    more("the node comes back").await;
    let log = load.finish().await;
    for stream in ["EVENTS", "JOBS", "ALERTS", "DEAD"] {
        until("the cluster is whole", async || {
            settled(&deployment, stream).await
        })
        .await;
    }
    let engine = Engine::Sqlite;
    let span = Duration::ZERO;
    let ended = BTreeMap::new();
    let run = Run {
        title: "cluster".to_owned(),
        seed: 1,
        engine,
        span,
        faults,
        ended,
    };
    conclude(&mut Testbed::around(deployment), log, run).await;
}
