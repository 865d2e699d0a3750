//! The reader of `git log`: exact on what git prints, calm on anything else.

use proptest::prelude::*;

use super::*;

const A: &str = "f7840c8bfe4064ced41615255283a6d295361b02";
const B: &str = "0b62959dd9e3d111ec8b86cf2fedb7ff66eb7c37";

fn head(hash: &str, parents: &str) -> String {
    format!("commit\0{hash}\0{parents}\01795514627 +0130\01795514628 -0800\0")
}

fn read(bytes: &[u8]) -> anyhow::Result<Vec<Commit>> {
    let mut log = Log::default();
    let mut commits = log.feed(bytes)?;
    commits.extend(log.finish()?);
    Ok(commits)
}

#[test]
fn a_commit_has_its_times_parents_and_files() {
    let text = format!(
        "{}\n1\t2\ta b\0-\t-\tbin\0{}",
        head(A, ""),
        head(B, &format!("{A} {A}"))
    );
    let [first, merge] = &read(text.as_bytes()).unwrap()[..] else {
        panic!("two commits")
    };
    assert_eq!((first.hash.as_str(), first.parents), (A, 0));
    assert_eq!(
        first.authored,
        When {
            seconds: 1_795_514_627,
            offset: 130
        }
    );
    assert_eq!(
        first.committed,
        When {
            seconds: 1_795_514_628,
            offset: -800
        }
    );
    assert_eq!(
        (first.files_changed, first.lines_added, first.lines_removed),
        (2, 1, 2)
    );
    assert_eq!(first.paths, ["a b", "bin"]);
    assert_eq!(
        (merge.hash.as_str(), merge.parents, merge.files_changed),
        (B, 2, 0)
    );
}

#[test]
fn names_may_hold_anything_and_moves_count_once() {
    // A moved file, then names that look like the reader's own marks.
    let files = b"\n3\t0\t\0commit\0new \"name\"\n\x001\t1\tcommit\x000\t1\t\xff\t\n\0";
    let text = [head(A, B).as_bytes(), files, head(B, A).as_bytes()].concat();
    let commits = read(&text).unwrap();
    assert_eq!(
        commits[0].paths,
        ["new \"name\"\n", "commit", "\u{fffd}\t\n"]
    );
    assert_eq!(
        (
            commits[0].files_changed,
            commits[0].lines_added,
            commits.len()
        ),
        (3, 4, 2)
    );
}

#[test]
fn a_huge_commit_is_counted_whole_and_kept_small() {
    let long = format!("1\t0\t{}\0", "x".repeat(MAX_PATH + 1));
    let files: String = (0..5000).map(|file| format!("1\t0\tf{file}\0")).collect();
    let commits = read(format!("{}\n{long}{files}", head(A, "")).as_bytes()).unwrap();
    assert_eq!(
        (commits[0].files_changed, commits[0].paths.len()),
        (5001, MAX_PATHS)
    );
    assert_eq!(
        commits[0].paths[0], "f0",
        "a path that no event may have is left out"
    );
    let mut log = Log::default();
    log.feed(&vec![b'x'; 3 * MAX_FIELD]).unwrap();
    assert_eq!(log.field.len(), MAX_FIELD);
}

#[test]
fn what_is_cut_off_or_no_log_is_an_error() {
    let whole = head(A, "");
    for cut in 1..whole.len() {
        assert!(read(&whole.as_bytes()[..cut]).is_err(), "cut at {cut}");
    }
    for bad in [
        "x\0",
        "1\t2\ta\0",
        &format!("{whole}\n1\tx\ta\0"),
        &whole.replace(A, "zz"),
        &whole.replace("17", "zz"),
    ] {
        assert!(read(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert_eq!(read(b"").unwrap(), []);
}

#[test]
fn times_beyond_any_clock_are_read_as_far_as_numbers_go() {
    assert_eq!(
        When::read(b"99999999999999999999 +99999999999"),
        Some(When {
            seconds: i64::MAX,
            offset: i32::MAX
        })
    );
    assert_eq!(
        When::read(b"-1 -7530"),
        Some(When {
            seconds: -1,
            offset: -7530
        })
    );
    assert_eq!(When::read(b"1"), None);
    assert_eq!(
        When::read(b""),
        Some(When::UNREADABLE),
        "a date that git cannot read"
    );
}

/// Bytes of a log: fields that git prints and ones that it does not, in any order.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        4 => Just(head(A, B).into_bytes()),
        2 => Just(b"\n1\t2\tp\0".to_vec()),
        1 => Just(b"1\t2\t\0old\0new\0".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
        1 => Just(vec![0]),
    ];
    prop::collection::vec(field, 0..8).prop_map(|fields| fields.concat())
}

proptest! {
    /// Wherever the pieces end: no panic, and the same commits or none.
    #[test]
    fn pieces_of_any_bytes_read_as_the_whole(bytes in fields(), size in 1_usize..40) {
        let mut log = Log::default();
        let in_pieces = bytes.chunks(size).try_fold(Vec::new(), |mut commits, piece| {
            commits.extend(log.feed(piece)?);
            anyhow::Ok(commits)
        });
        let in_pieces = in_pieces.and_then(|mut commits| {
            commits.extend(log.finish()?);
            Ok(commits)
        });
        prop_assert_eq!(in_pieces.ok(), read(&bytes).ok());
    }
}
