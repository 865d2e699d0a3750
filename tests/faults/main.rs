//! The worst day: load, seeded faults, and a judge outside the product. docs/reliability.md says how to use it.
//!
//! `plan` is the schedule, `world` the processes with the `proxy`s between them, `director` carries the
//! schedule out, `load` and `work` are the clients, `log` what they were told, `oracle` the judge.

mod away;
mod cluster;
mod director;
mod figures;
mod load;
mod log;
mod oracle;
mod plan;
mod proxy;
mod run;
mod server;
mod spoil;
mod stops;
mod work;
mod world;

use harness::{Engine, Mounts, own_mounts};

/// Faults of every kind under load: nothing acknowledged is lost or doubled, and all work is done.
async fn a_seeded_day_of_faults_loses_and_doubles_nothing(engine: Engine) {
    let test = format!(
        "{}::a_seeded_day_of_faults_loses_and_doubles_nothing",
        log::name(engine)
    );
    match own_mounts(&test, engine == Engine::Postgres) {
        Mounts::Done => {}
        mounts => run::seeded(engine, mounts == Mounts::Here, 1, 10).await,
    }
}

harness::on_both_stores!(a_seeded_day_of_faults_loses_and_doubles_nothing);
