//! A nats-server that asks who one is: every kind of login, and what is said of one that is refused.

mod guards;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use guards::{Authority, Operator, SECRET, file};
use harness::{Client, Deployment, Engine, NatsGuard, envelope, event, stderr_of, until};

/// A command does not try for long what is refused.
const AT_ONCE: Duration = Duration::from_secs(20);

/// A deployment whose server asks who one is, with its streams.
async fn guarded(engine: Engine, guard: impl FnOnce(&Path) -> NatsGuard) -> Deployment {
    let deployment = Deployment::guarded(engine, guard).await;
    let applied = deployment.run("devtrail", &["streams", "apply"]);
    assert!(applied.status.success(), "{}", stderr_of(&applied));
    deployment
}

/// The collector publishes, workers store, and commands work.
async fn works(engine: Engine, guard: impl FnOnce(&Path) -> NatsGuard) {
    let mut deployment = guarded(engine, guard).await;
    deployment.workers(1);
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    client.send(&envelope("b1", &[event("e1")])).await;
    deployment.completed(1).await;
    assert_eq!(deployment.verify()["stored"], 1);
}

/// Runs a command with other values in its environment.
fn with(deployment: &Deployment, environment: &[(&str, &str)]) -> Output {
    let mut command = deployment.command("devtrail", &["streams", "diff"]);
    // What is to be left out.
    for (name, value) in environment {
        match value.is_empty() {
            true => command.env_remove(name),
            false => command.env(name, value),
        };
    }
    command.output().unwrap()
}

/// Asserts that a command with these values fails at once, with words that have all of `parts` and no secret.
fn refused(deployment: &Deployment, environment: &[(&str, &str)], parts: &[&str]) {
    let began = Instant::now();
    let output = with(deployment, environment);
    let said = stderr_of(&output);
    assert_eq!(output.status.code(), Some(1), "{environment:?}: {said}");
    assert!(began.elapsed() < AT_ONCE, "{environment:?}: {said}");
    for part in parts {
        assert!(
            said.contains(part),
            "{environment:?}: {part:?} is not in: {said}"
        );
    }
    assert!(!said.contains(SECRET), "{said}");
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
}

/// The address of its server without a login.
fn bare_url(deployment: &Deployment) -> String {
    let place = deployment.nats.rsplit(['@', '/']).next().unwrap();
    format!("nats://{place}")
}

/// Contract: nats.login
async fn a_user_and_password_in_the_address_log_in(engine: Engine) {
    works(engine, guards::user).await;
}

async fn a_token_in_the_address_logs_in(engine: Engine) {
    works(engine, guards::token_in_url).await;
}

async fn a_token_in_a_file_logs_in(engine: Engine) {
    works(engine, guards::token).await;
}

async fn the_seed_of_an_nkey_logs_in(engine: Engine) {
    works(engine, guards::nkey).await;
}

async fn a_credentials_file_logs_in(engine: Engine) {
    works(engine, guards::operator).await;
}

/// Contract: nats.tls
async fn a_private_authority_is_trusted_if_it_is_named(engine: Engine) {
    works(engine, guards::tls).await;
}

async fn a_server_that_asks_for_a_certificate_gets_one(engine: Engine) {
    works(engine, guards::mutual_tls).await;
}

harness::on_both_stores!(
    a_user_and_password_in_the_address_log_in,
    a_token_in_the_address_logs_in,
    a_token_in_a_file_logs_in,
    the_seed_of_an_nkey_logs_in,
    a_credentials_file_logs_in,
    a_private_authority_is_trusted_if_it_is_named,
    a_server_that_asks_for_a_certificate_gets_one,
    a_token_renewed_while_running_is_read_anew,
);

/// Contract: nats.login-refused
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_password_or_token_is_said_with_the_remedy() {
    let user = Deployment::guarded(Engine::Sqlite, guards::user).await;
    let wrong = bare_url(&user).replace("://", &format!("://ada:{SECRET}@"));
    let words = [
        "refuses the login",
        "the user \"ada\" in --nats-url",
        "authorization violation",
    ];
    refused(&user, &[("DEVTRAIL_NATS_URL", &wrong)], &words);
    let none = [
        "refuses the login (none was given)",
        "--nats-creds",
        "nats://user:password@host",
    ];
    refused(&user, &[("DEVTRAIL_NATS_URL", &bare_url(&user))], &none);

    let token = Deployment::guarded(Engine::Sqlite, guards::token).await;
    let path = file(&token.path(""), "wrong", &format!("{SECRET}-wrong"));
    let words = [
        "refuses the login",
        "--nats-token-file",
        &path,
        "Put the server's token in",
    ];
    refused(&token, &[("DEVTRAIL_NATS_TOKEN_FILE", &path)], &words);
    let missing = [
        "/nothing of --nats-token-file cannot be used",
        "No such file",
    ];
    refused(
        &token,
        &[("DEVTRAIL_NATS_TOKEN_FILE", "/nothing")],
        &missing,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_or_user_is_said_with_the_remedy() {
    let nkey = Deployment::guarded(Engine::Sqlite, guards::nkey).await;
    let seed = nkeys::KeyPair::new_user().seed().unwrap();
    let path = file(&nkey.path(""), "other", &seed);
    let words = [
        "refuses the login",
        "--nats-nkey",
        &path,
        "Let the server know the public key",
    ];
    refused(&nkey, &[("DEVTRAIL_NATS_NKEY", &path)], &words);
    let path = file(&nkey.path(""), "empty", "\n");
    refused(
        &nkey,
        &[("DEVTRAIL_NATS_NKEY", &path)],
        &["--nats-nkey", "holds no seed"],
    );

    let operator = Operator::new();
    let deployment = Deployment::guarded(Engine::Sqlite, |folder| operator.guard(folder)).await;
    let expired = file(
        &deployment.path(""),
        "expired",
        &operator.creds(Some(1_750_000_000)),
    );
    let words = [
        "refuses the login",
        "The user JWT in",
        "expired at 2025-06-15T15:06:40",
    ];
    refused(&deployment, &[("DEVTRAIL_NATS_CREDS", &expired)], &words);
    let stranger = file(
        &deployment.path(""),
        "stranger",
        &Operator::new().creds(None),
    );
    let words = [
        "refuses the login",
        "See whether the server knows the account",
    ];
    refused(&deployment, &[("DEVTRAIL_NATS_CREDS", &stranger)], &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_connection_that_is_none_is_said_with_the_remedy() {
    let tls = Deployment::guarded(Engine::Sqlite, guards::tls).await;
    let words = ["no authority that is trusted here", "--nats-ca"];
    refused(&tls, &[("DEVTRAIL_NATS_CA", "")], &words);
    let other = file(&tls.path(""), "other.pem", &Authority::new("another").pem);
    refused(&tls, &[("DEVTRAIL_NATS_CA", &other)], &words);
    let no_pem = file(&tls.path(""), "no.pem", "nothing");
    refused(
        &tls,
        &[("DEVTRAIL_NATS_CA", &no_pem)],
        &["--nats-ca", "no PEM block of a certificate"],
    );
    let elsewhere = Deployment::guarded(Engine::Sqlite, |folder| {
        guards::tls_for(folder, "other.example")
    })
    .await;
    refused(
        &elsewhere,
        &[],
        &["for another host", "Write in --nats-url a host"],
    );

    let mutual = Deployment::guarded(Engine::Sqlite, guards::mutual_tls).await;
    let none = [("DEVTRAIL_NATS_CERT", ""), ("DEVTRAIL_NATS_KEY", "")];
    refused(
        &mutual,
        &none,
        &["no TLS connection", "--nats-cert and --nats-key"],
    );
    let stranger = Authority::new("another").sign("worker.devtrail.example");
    let cert = file(&mutual.path(""), "stranger.pem", &stranger.pem);
    let key = file(&mutual.path(""), "stranger.key", &stranger.key);
    let strange = [("DEVTRAIL_NATS_CERT", &*cert), ("DEVTRAIL_NATS_KEY", &*key)];
    refused(
        &mutual,
        &strange,
        &["no TLS connection", "--nats-cert and --nats-key"],
    );

    // A server without TLS gets no login from one who wants it.
    let plain = Deployment::guarded(Engine::Sqlite, guards::token).await;
    let url = plain.nats.replace("nats://", "tls://");
    refused(&plain, &[("DEVTRAIL_NATS_URL", &url)], &["speaks no TLS"]);
    refused(&plain, &[("DEVTRAIL_NATS_CA", &other)], &["speaks no TLS"]);
}

/// A container without any authority's certificate is enough where nothing speaks TLS.
#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_without_tls_needs_no_authorities() {
    let nowhere = |name| (name, "/dev/null/nowhere".to_owned());
    let mut deployment = Deployment::guarded(Engine::Sqlite, |_| NatsGuard {
        environment: BTreeMap::from(["SSL_CERT_FILE", "SSL_CERT_DIR"].map(nowhere)),
        ..NatsGuard::default()
    })
    .await;
    let applied = deployment.run("devtrail", &["streams", "apply"]);
    assert!(applied.status.success(), "{}", stderr_of(&applied));
    deployment.collector("collector").await;
}

/// Contract: nats.login-once
#[tokio::test(flavor = "multi_thread")]
async fn a_login_given_twice_or_by_half_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(harness::program(program));
        command.args(arguments).current_dir(&folder);
        command.env("DEVTRAIL_NATS_TOKEN_FILE", "token");
        command.output().unwrap()
    };
    for (program, command) in [
        ("devtrail", "status"),
        ("devtrail-worker", "all"),
        ("devtrail-collector", ""),
    ] {
        let command: Vec<&str> = [command]
            .into_iter()
            .filter(|one| !one.is_empty())
            .collect();
        let url = format!("nats://ada:{SECRET}@127.0.0.1:1");
        for (more, parts) in [
            (
                &["--nats-creds", "f"][..],
                ["--nats-creds f", "--nats-token-file token"],
            ),
            (
                &["--nats-nkey", "f"],
                ["--nats-nkey f", "--nats-token-file token"],
            ),
            (
                &["--nats-url", &url],
                ["the user \"ada\" in --nats-url", "--nats-token-file token"],
            ),
            (
                &["--nats-cert", "f"],
                ["--nats-cert needs --nats-key", "key"],
            ),
            (
                &["--nats-key", "f"],
                ["--nats-key needs --nats-cert", "certificate"],
            ),
        ] {
            let listen = ["--listen", "127.0.0.1:0"];
            let listen = if program == "devtrail-collector" {
                &listen[..]
            } else {
                &[]
            };
            let output = run(program, &[&command, listen, more].concat());
            let said = stderr_of(&output);
            assert_eq!(output.status.code(), Some(2), "{program} {more:?}: {said}");
            assert!(
                parts.iter().all(|part| said.contains(part)),
                "{program} {more:?}: {said}"
            );
            assert!(!said.contains(SECRET), "{said}");
        }
    }
}

/// Contract: nats.login-settings
#[tokio::test(flavor = "multi_thread")]
async fn a_login_comes_from_flag_environment_or_file() {
    let deployment = guarded(Engine::Sqlite, guards::token).await;
    let token = deployment.path("token");
    let token = token.to_str().unwrap();
    let config = file(
        &deployment.path(""),
        "c.toml",
        &format!("nats-token-file = \"{token}\"\n"),
    );
    let flag = ["--nats-token-file", token];
    let in_file = ["--config", &config];
    for (program, command) in [
        ("devtrail", "status"),
        ("devtrail-worker", "all"),
        ("devtrail-collector", ""),
    ] {
        for (given, environment) in [(&flag[..], ""), (&in_file, ""), (&[], token)] {
            let mut run = deployment.command(program, &[]);
            run.args(Some(command).filter(|one| !one.is_empty()));
            run.args(given).env_remove("DEVTRAIL_NATS_TOKEN_FILE");
            if !environment.is_empty() {
                run.env("DEVTRAIL_NATS_TOKEN_FILE", environment);
            }
            let shown = run.arg("--print-config").output().unwrap();
            let shown = String::from_utf8(shown.stdout).unwrap();
            assert!(
                shown.contains(&format!("nats-token-file = \"{token}\"")),
                "{program} {given:?}: {shown}"
            );
        }
    }
    for given in [&flag, &in_file] {
        let mut command = deployment.command("devtrail", &["streams", "diff"]);
        let output = command
            .args(given)
            .env_remove("DEVTRAIL_NATS_TOKEN_FILE")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr_of(&output));
    }
}

/// Waits until the process has logged this.
async fn logs(deployment: &Deployment, name: &str, text: &str) {
    until(&format!("{name} logs {text:?}"), async || {
        deployment.log(name).contains(text).then_some(())
    })
    .await;
}

/// Sends a batch until it is taken.
async fn sent(client: &Client, batch: &serde_json::Value) {
    until("the batch is taken", async || {
        let reply = client.post(batch).await.ok()?;
        reply.status().is_success().then_some(())
    })
    .await;
}

/// The server gets another token while all run, and only then the file.
///
/// Contract: nats.login-anew
async fn a_token_renewed_while_running_is_read_anew(engine: Engine) {
    let mut deployment = guarded(engine, guards::token).await;
    deployment.workers(1);
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    client.send(&envelope("b1", &[event("e1")])).await;
    deployment.completed(1).await;
    deployment.reconfigure_nats(SECRET, "renewed").await;
    let worker = match engine {
        Engine::Sqlite => "all",
        Engine::Postgres => "persist-0",
    };
    for name in ["collector", worker] {
        logs(&deployment, name, "refuses the login").await;
        logs(&deployment, name, "--nats-token-file").await;
    }
    fs::write(deployment.path("token"), "renewed").unwrap();
    sent(&client, &envelope("b2", &[event("e2")])).await;
    deployment.completed(2).await;
    assert_eq!(deployment.verify()["stored"], 2);
    for name in ["collector", worker] {
        logs(&deployment, name, "connected to NATS again").await;
        assert!(!deployment.log(name).contains(SECRET));
        assert!(deployment.stop(name).await.success());
    }
}

/// A service whose first login is refused waits for a better one.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_goes_on_trying_a_login_that_expired() {
    let operator = Operator::new();
    let mut deployment = guarded(Engine::Sqlite, |folder| operator.guard(folder)).await;
    let creds = deployment.path("user.creds");
    let good = fs::read_to_string(&creds).unwrap();
    fs::write(&creds, operator.creds(Some(1_750_000_000))).unwrap();
    deployment.workers(1);
    logs(&deployment, "all", "waiting for NATS; trying again").await;
    logs(&deployment, "all", "expired at 2025-06-15").await;
    fs::write(&creds, &good).unwrap();
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    client.send(&envelope("b1", &[event("e1")])).await;
    deployment.completed(1).await;
    // A user whose time ends while he is connected is sent away, and comes back with the file's new content.
    let soon = jiff::Timestamp::now().as_second() + 3;
    fs::write(&creds, operator.creds(Some(soon))).unwrap();
    deployment.reconfigure_nats("", "").await;
    logs(&deployment, "all", "Authentication Expired").await;
    fs::write(&creds, &good).unwrap();
    sent(&client, &envelope("b2", &[event("e2")])).await;
    deployment.completed(2).await;
    assert_eq!(deployment.verify()["stored"], 2);
}

/// Contract: nats.login-files
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_file_that_others_may_read_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let deployment = guarded(Engine::Sqlite, guards::token).await;
    let warned = || {
        let output = deployment.run("devtrail", &["streams", "diff"]);
        assert!(output.status.success());
        stderr_of(&output)
    };
    assert_eq!(warned(), "");
    fs::set_permissions(deployment.path("token"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = warned();
    assert!(
        said.contains("chmod 600") && said.contains("token") && said.contains("0644"),
        "{said}"
    );
}
