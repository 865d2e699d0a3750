//! `devtrail dead redrive` is killed at each of its steps; run again, it is as if it had run once.

use harness::{Engine, stderr_of, until};

use super::{dead, dead_letters, derived, refuse, repair, running, send};

/// Contract: dead.redrive-killed
async fn a_redrive_that_is_killed_and_run_again_is_done_once(engine: Engine) {
    let (sound, client) = running(engine).await;
    send(&client).await;
    sound.completed(3).await;
    let expected = derived(&sound).await;
    drop(sound);
    for point in [
        "redrive.after_note",
        "redrive.after_publish",
        "redrive.after_delete",
    ] {
        let (deployment, client) = running(engine).await;
        refuse(&deployment, "events", "poison").await;
        refuse(&deployment, "normalized_records", "e4").await;
        send(&client).await;
        let numbers = dead_letters(&deployment, 2).await;
        repair(&deployment, "events").await;
        repair(&deployment, "normalized_records").await;
        for dead_letter in &numbers {
            let mut command = deployment.command(
                "devtrail",
                &["dead", "redrive", &dead_letter["sequence"].to_string()],
            );
            command.env("DEVTRAIL_CRASH_POINT", point);
            let killed = command.output().unwrap();
            assert_eq!(
                killed.status.code(),
                None,
                "{point}: {}",
                stderr_of(&killed)
            );
        }
        // What it left is no fault, whatever of it the workers have in flight.
        let _ = deployment.verify();
        let again = dead(&deployment, &["redrive", "--all"]);
        assert!(again.status.success(), "{point}: {}", stderr_of(&again));
        deployment.completed(3).await;
        dead_letters(&deployment, 0).await;
        // Under whichever id, the job was done once: its row in completed_jobs alone tells of the redrive.
        let same = async || (derived(&deployment).await == expected).then_some(());
        until("the store is as if nothing had failed", same).await;
        let redriven = "SELECT count(*) FROM audit WHERE step = 'redriven'";
        assert_eq!(deployment.database.count(redriven).await, 2, "{point}");
        let _ = deployment.verify();
    }
}

harness::on_both_stores!(a_redrive_that_is_killed_and_run_again_is_done_once);
