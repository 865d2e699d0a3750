//! What Devtrail keeps on disk is for its user alone, whatever the umask.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::{Client, Deployment, Engine, envelope, event, until, up_command};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

/// A program with this umask.
fn with_umask(umask: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell
}

/// `devtrail up` on a folder, with a batch stored; stopped in order when told.
struct Up {
    child: Child,
    log: PathBuf,
}

impl Up {
    async fn start(umask: &str, data: &Path) -> Self {
        let log = data.with_extension("log");
        let stderr = fs::File::create(&log).unwrap();
        let mut command = with_umask(umask, &up_command(data));
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let up = Self { child, log };
        let url = until("it listens", async || {
            let text = fs::read(data.join("addresses.json")).ok()?;
            let addresses: serde_json::Value = serde_json::from_slice(&text).ok()?;
            Some(addresses["collector"].as_str()?.to_owned())
        })
        .await;
        let key = fs::read_to_string(data.join("api-key")).unwrap();
        let reply = Client::new(&url, key.trim())
            .send_waiting(&envelope("b1", &[event("e1")]), 30)
            .await;
        assert_eq!(reply.status, 200);
        up
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    async fn stop(mut self) {
        kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        )
        .unwrap();
        let status = until("it stops", async || self.child.try_wait().unwrap()).await;
        assert!(status.success());
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder and all that is in it.
fn everything(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(everything(&path)),
            false => all.push(path),
        }
    }
    all
}

/// Asserts that nobody else may do anything with the folder and what is in it.
fn is_private(folder: &Path, names: &[&str]) {
    let all = everything(folder);
    for path in &all {
        // nats-server replaces its files meanwhile.
        let Ok(metadata) = path.metadata() else {
            continue;
        };
        let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.mode() & 0o7777, wanted, "{}", path.display());
    }
    for name in names {
        assert!(all.contains(&folder.join(name)), "{name} is missing");
    }
}

/// Asserts that another user of the machine reads none of it. Only root may become another user: elsewhere the modes
/// alone are checked.
fn is_closed_to_others(folder: &Path) {
    if !geteuid().is_root() {
        eprintln!("not root: no process of another user was tried, only modes");
        return;
    }
    for path in everything(folder) {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "head",
            "-c1",
        ]);
        let output = command.arg(&path).output().unwrap();
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{} was read",
            path.display()
        );
    }
}

/// A folder that others may enter.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

const KEPT_BY_UP: [&str; 9] = [
    "addresses.json",
    "api-key",
    "devtrail.db",
    "devtrail.db-wal",
    "devtrail.db.lock",
    "nats",
    "nats-server.conf",
    "nats-server.log",
    "nats-server.pid",
];

/// Contract: files.private
#[tokio::test(flavor = "multi_thread")]
async fn the_folder_of_up_is_closed_to_others_whatever_the_umask() {
    for umask in ["000", "022"] {
        let folder = open_folder();
        let data = folder.path().join("data");
        let up = Up::start(umask, &data).await;
        is_private(&data, &KEPT_BY_UP);
        is_closed_to_others(&data);
        assert!(!up.log().contains("now it is private"), "{}", up.log());
        up.stop().await;
        is_private(&data, &["devtrail.db", "nats"]);
    }
}

/// Contract: files.tightened
#[tokio::test(flavor = "multi_thread")]
async fn an_older_folder_is_closed_at_the_start_and_said_once() {
    let folder = open_folder();
    let data = folder.path().join("data");
    Up::start("022", &data).await.stop().await;
    let own = data.join("notes.txt");
    fs::write(&own, "somebody's own").unwrap();
    for path in everything(&data) {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    let up = Up::start("022", &data).await;
    assert_eq!(
        fs::metadata(&own).unwrap().mode() & 0o777,
        0o644,
        "it is not ours"
    );
    fs::remove_file(&own).unwrap();
    is_private(&data, &KEPT_BY_UP);
    is_closed_to_others(&data);
    assert_eq!(
        up.log().matches("now it is private").count(),
        1,
        "{}",
        up.log()
    );
    up.stop().await;
    let again = Up::start("022", &data).await;
    assert!(
        !again.log().contains("now it is private"),
        "{}",
        again.log()
    );
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_another_user_is_named() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root may give a folder to another user");
        return;
    }
    let folder = open_folder();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    std::os::unix::fs::chown(&data, Some(65534), Some(65534)).unwrap();
    let up = Up::start("022", &data).await;
    let log = up.log();
    assert!(
        log.contains("belongs to another user") && log.contains("65534"),
        "{log}"
    );
    is_private(&data, &KEPT_BY_UP);
    up.stop().await;
}

/// Contract: files.worker
#[tokio::test(flavor = "multi_thread")]
async fn the_database_of_a_worker_is_closed_to_others() {
    for umask in ["000", "022"] {
        let mut deployment = Deployment::start(Engine::Sqlite).await;
        fs::set_permissions(deployment.path(""), Permissions::from_mode(0o755)).unwrap();
        let data = deployment.path("made/by/worker");
        let database = format!("sqlite:{}", data.join("d.db").display());
        let mut command = deployment.command("devtrail-worker", &["all"]);
        command.env("DEVTRAIL_DATABASE_URL", &database);
        let is_open = async || data.join("d.db-wal").exists().then_some(());
        deployment.spawn("worker", &mut with_umask(umask, &command));
        until("the database is open", is_open).await;
        is_private(&data, &["d.db", "d.db-wal", "d.db.lock"]);
        is_closed_to_others(&data);
        assert!(deployment.stop("worker").await.success());
        assert!(!deployment.log("worker").contains("now it is private"));
        // As an earlier version left it.
        for path in everything(&data) {
            let mode = if path.is_dir() { 0o755 } else { 0o644 };
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        deployment.spawn("worker", &mut with_umask(umask, &command));
        until("it is said", async || {
            (deployment
                .log("worker")
                .matches("now it is private")
                .count()
                == 1)
                .then_some(())
        })
        .await;
        is_private(&data, &["d.db", "d.db.lock"]);
        assert!(deployment.stop("worker").await.success());
    }
}

/// A folder with other things in it is left as it is: it may be anybody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_closes_its_files_in_a_folder_of_others() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let data = deployment.path("shared");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("other.txt"), "").unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    let database = format!("sqlite:{}", data.join("d.db").display());
    let mut command = deployment.command("devtrail-worker", &["all"]);
    command.env("DEVTRAIL_DATABASE_URL", &database);
    deployment.spawn("worker", &mut with_umask("022", &command));
    until("the database is open", async || {
        data.join("d.db-wal").exists().then_some(())
    })
    .await;
    assert_eq!(data.metadata().unwrap().mode() & 0o777, 0o755);
    for name in ["d.db", "d.db-wal", "d.db.lock"] {
        assert_eq!(
            data.join(name).metadata().unwrap().mode() & 0o777,
            0o600,
            "{name}"
        );
    }
    assert!(deployment.stop("worker").await.success());
}
