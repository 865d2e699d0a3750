//! Three nats-servers (R3): the leader of EVENTS is killed under load, and service goes on with two.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use async_nats::jetstream::stream::ClusterInfo;
use harness::{Engine, Site, free_address, nats_server, said, until};

use crate::figures::Run;
use crate::load::Load;
use crate::run::{conclude, service};
use crate::world::World;

const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// One node's addresses.
struct Node {
    name: &'static str,
    client: String,
    monitor: String,
    route: String,
}

/// Starts a node with what `nats/cluster/node.conf` says.
fn start(site: &mut Site, node: &Node, routes: &str) {
    let port = |address: &str| {
        address
            .rsplit_once(':')
            .expect("an address with a port")
            .1
            .to_owned()
    };
    let mut command = Command::new(nats_server());
    command.arg("-c").arg(site.path("cluster/node.conf")).args([
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
        .arg(site.path(node.name));
    site.spawn(node.name, &mut command);
}

/// The cluster as the stream's leader sees it; `None` where there is no leader, or a node is behind.
async fn settled(site: &Site, stream: &str) -> Option<ClusterInfo> {
    let addresses = bus::addresses(&site.nats).ok()?;
    let js = async_nats::jetstream::new(async_nats::connect(addresses).await.ok()?);
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

/// A site on three nodes, its streams with three replicas each.
async fn site() -> (Site, [Node; 3], String) {
    let mut site = Site::bare(Engine::Sqlite).await;
    // Its one server makes room for three.
    site.kill("nats");
    let address = free_address;
    let nodes = NODES.map(|name| Node {
        name,
        client: address(),
        monitor: address(),
        route: address(),
    });
    let all = |of: &dyn Fn(&Node) -> String| nodes.iter().map(of).collect::<Vec<_>>().join(",");
    let routes = all(&|node| format!("nats://{}", node.route));
    site.nats = all(&|node| format!("nats://{}", node.client));
    site.monitor = all(&|node| format!("http://{}", node.monitor));
    // Beside the server.conf of the site, which it includes.
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nats/cluster/node.conf");
    std::fs::create_dir(site.path("cluster")).expect("a folder");
    std::fs::copy(conf, site.path("cluster/node.conf")).expect("a copy");
    for node in &nodes {
        start(&mut site, node, &routes);
    }
    let applied = async || {
        let output = site.run("devtrail", &["streams", "apply"]);
        if !output.status.success() {
            crate::figures::say(&said(&output));
        }
        output.status.success().then_some(())
    };
    until("the cluster takes the streams", applied).await;
    // What a dead server delivered comes again after seconds.
    site.shorten_ack_wait().await;
    let js = site.js().await;
    for name in bus::topology::declared()
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
            settled(&site, &name.stream).await
        })
        .await;
    }
    (site, nodes, routes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_of_three_loses_and_doubles_nothing_and_service_goes_on() {
    let (mut site, nodes, routes) = site().await;
    let urls = vec![
        site.collector("collector-0").await,
        site.collector("collector-1").await,
    ];
    site.workers(1);
    let load = Load::start(&service(&site, urls).await, 1);
    let more = async |what: &str| {
        let then = load.log().acks.len();
        until(what, async || {
            (load.log().acks.len() > then + 40).then_some(())
        })
        .await;
    };
    more("batches are taken").await;
    let info = until("EVENTS has a leader", async || {
        settled(&site, "EVENTS").await
    })
    .await;
    let leader = info.leader.expect("settled means led");
    site.kill(&leader);
    let faults = BTreeMap::from([("kill -9 leader of EVENTS".to_owned(), 1)]);
    more("service goes on with two of three").await;
    let node = nodes
        .iter()
        .find(|node| node.name == leader)
        .expect("one of ours");
    start(&mut site, node, &routes);
    more("the node comes back").await;
    let log = load.finish().await;
    for stream in ["EVENTS", "JOBS", "ALERTS", "DEAD"] {
        until("the cluster is whole", async || {
            settled(&site, stream).await
        })
        .await;
    }
    let (engine, span, ended) = (Engine::Sqlite, Duration::ZERO, BTreeMap::new());
    let run = Run {
        title: "cluster".to_owned(),
        seed: 1,
        engine,
        span,
        faults,
        ended,
    };
    conclude(&mut World::around(site), log, run).await;
}
