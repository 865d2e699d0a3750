//! No password, token or key that stands in a setting is ever shown.

use std::process::Command;

use harness::{Deployment, Engine, NatsGuard, envelope, event, free_address, program};

/// Part of every password here. It is never part of a name.
const SECRET: &str = "s3cr3t";

/// What a program wrote, to both outputs.
fn written(command: &mut Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Asserts that the text is there and holds no secret.
fn hides(what: &str, text: &str) {
    assert!(!text.is_empty(), "{what} wrote nothing");
    assert!(!text.contains(SECRET), "{what} shows a secret: {text}");
}

/// Contract: commands.secrets
#[tokio::test(flavor = "multi_thread")]
async fn programs_that_trace_all_they_do_log_no_password() {
    let guard = |_: &_| NatsGuard {
        conf: format!("authorization {{ user: ada, password: {SECRET} }}"),
        url_login: format!("ada:{SECRET}@"),
        environment: [(
            "DEVTRAIL_LOG",
            "trace,async_nats=trace,async_nats::connector=trace".to_owned(),
        )]
        .into(),
    };
    let mut deployment = Deployment::guarded(Engine::Sqlite, guard).await;
    hides(
        "streams apply",
        &written(&mut deployment.command("devtrail", &["streams", "apply"])),
    );
    deployment.workers(1);
    let url = deployment.collector("collector").await;
    let key = deployment
        .command("devtrail", &["keys", "create", "ada"])
        .env("DEVTRAIL_LOG", "warn")
        .output()
        .unwrap();
    let key = String::from_utf8(key.stdout).unwrap();
    std::fs::write(deployment.path("key"), &key).unwrap();
    std::fs::write(deployment.path("e.ndjson"), format!("{}\n", event("e1"))).unwrap();
    // The user in the address of a collector is a proxy's.
    let proxied = url.replace("http://", &format!("http://proxy:{SECRET}@"));
    let send = |url: &str| {
        let arguments = [
            "send",
            "e.ndjson",
            "--key-file",
            "key",
            "--give-up-after",
            "1s",
            "--url",
            url,
        ];
        written(&mut deployment.command("devtrail", &arguments))
    };
    hides("send", &send(&proxied));
    let nobody = format!("http://proxy:{SECRET}@{}", free_address());
    let said = send(&nobody);
    hides("send to nobody", &said);
    assert!(said.contains("proxy:***@"), "{said}");
    for command in ["status", "verify", "keys list", "dead list"] {
        let arguments: Vec<&str> = command.split(' ').collect();
        hides(
            command,
            &written(&mut deployment.command("devtrail", &arguments)),
        );
    }
    let client = deployment.client(&url, "bob");
    let client = client.await;
    client.send(&envelope("b1", &[event("e1")])).await;
    deployment.completed(1).await;
    // What is logged of a connection that breaks, is refused and comes back.
    deployment
        .reconfigure_nats(&format!("password: {SECRET}"), "password: other")
        .await;
    for name in ["all", "collector"] {
        harness::until("the login is refused", async || {
            deployment
                .log(name)
                .contains("refuses the login")
                .then_some(())
        })
        .await;
    }
    for name in ["all", "collector"] {
        assert!(deployment.stop(name).await.success());
        hides(name, &deployment.log(name));
    }
}

/// Ways to write a password, most of them wrong.
fn addresses() -> Vec<String> {
    let logins = [
        format!("ada:{SECRET}"),
        SECRET.to_owned(),
        format!("ada:{SECRET}@{SECRET}"),
        format!("ada:{SECRET},{SECRET}"),
        format!("ada:{SECRET}%zz"),
        format!("ada:{SECRET}%ff"),
        format!("ada:{SECRET}/{SECRET}"),
        format!("ada:{SECRET}?{SECRET}"),
        format!("ada:{SECRET}#{SECRET}"),
        format!("ada:{SECRET} {SECRET}"),
    ];
    let hosts = [
        "127.0.0.1:1",
        "127.0.0.1:none",
        "",
        "127.0.0.1:1,nats://127.0.0.1:2",
    ];
    let schemes = [
        "nats://",
        "tls://",
        "http://",
        "postgres://",
        "mysql://",
        "",
    ];
    let mut all = Vec::new();
    for login in &logins {
        for host in hosts {
            all.extend(schemes.map(|scheme| format!("{scheme}{login}@{host}")));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_usage_error_and_no_setting_printed_shows_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("c.toml");
    let programs = [
        (
            "devtrail-collector",
            &[][..],
            &["nats-url", "nats-monitor-url"][..],
        ),
        (
            "devtrail-worker",
            &["all"],
            &[
                "nats-url",
                "nats-monitor-url",
                "database-url",
                "admin-webhook-url",
            ],
        ),
        (
            "devtrail",
            &["send", "-"],
            &["nats-url", "url", "database-url"],
        ),
    ];
    let mut shown = 0;
    for (index, address) in addresses().iter().enumerate() {
        for (name, command, flags) in programs {
            // Each address meets another flag; all meet all in the end.
            let flag = flags[index % flags.len()];
            let run = || {
                let mut run = Command::new(program(name));
                run.args(command).arg("--print-config").current_dir(&folder);
                run
            };
            let what = format!("{name} --{flag} {address}");
            let text = written(run().arg(format!("--{flag}")).arg(address));
            hides(&what, &text);
            shown += usize::from(text.contains("***"));
            if index % 5 == 0 {
                let variable = format!("DEVTRAIL_{}", flag.to_uppercase().replace('-', "_"));
                hides(&what, &written(run().env(&variable, address)));
                hides(&what, &written(run().env(&variable, address).arg("--help")));
                // As a flag that there is not, and as a word too many.
                hides(&what, &written(run().arg(format!("--no-{flag}={address}"))));
                hides(&what, &written(run().args(["--help=x", address])));
                let quoted = toml_string(address);
                std::fs::write(&config, format!("{flag} = {quoted}\n")).unwrap();
                hides(&what, &written(run().arg("--config").arg(&config)));
                std::fs::write(&config, format!("{flag} = {quoted}{quoted}\n")).unwrap();
                hides(&what, &written(run().arg("--config").arg(&config)));
            }
        }
    }
    assert!(shown > 100, "only {shown} addresses were shown at all");
}

fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
