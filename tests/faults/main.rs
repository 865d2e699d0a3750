//! Load, seeded faults, and an oracle outside the product. README.md says what is where, docs/reliability.md how
//! to run it.

mod clients;
mod cluster;
mod figures;
mod garbage;
mod injector;
mod oracle;
mod postgres_outage;
mod proxy;
mod run;
mod schedule;
mod send_log;
mod server;
mod testbed;
mod worker_shutdown;
mod workload;

use harness::{Engine, Mounts, own_mounts};

/// Faults of every kind under load: nothing acknowledged is lost or doubled, and all work is done.
async fn a_seeded_day_of_faults_loses_and_doubles_nothing(engine: Engine) {
    let test = format!(
        "{}::a_seeded_day_of_faults_loses_and_doubles_nothing",
        send_log::name(engine)
    );
    match own_mounts(&test, engine == Engine::Postgres) {
        Mounts::Done => {}
        mounts => run::seeded(engine, mounts == Mounts::Here, 1, 10).await,
    }
}

harness::on_both_stores!(a_seeded_day_of_faults_loses_and_doubles_nothing);
