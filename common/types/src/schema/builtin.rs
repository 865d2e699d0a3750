//! The schema files that are part of the program.

macro_rules! embedded {
    ($version:literal, $kind:literal) => {
        (
            $version,
            $kind,
            include_str!(concat!("../../../schemas/", $version, "/", $kind, ".json")),
        )
    };
}
/// Each schema file, embedded: the version's folder, the type, the text.
pub const FILES: &[(&str, &str, &str)] = &[
    embedded!("1.0", "ai.suggestion"),
    embedded!("1.0", "build.finished"),
    embedded!("1.0", "debug.ended"),
    embedded!("1.0", "debug.started"),
    embedded!("1.0", "diagnostics.changed"),
    embedded!("1.0", "editor.blurred"),
    embedded!("1.0", "editor.focused"),
    embedded!("1.0", "file.closed"),
    embedded!("1.0", "file.edited"),
    embedded!("1.0", "file.opened"),
    embedded!("1.0", "file.saved"),
    embedded!("1.0", "git.branch_switched"),
    embedded!("1.0", "git.commit"),
    embedded!("1.0", "git.push"),
    embedded!("1.0", "heartbeat"),
    embedded!("1.0", "session.ended"),
    embedded!("1.0", "session.started"),
    embedded!("1.0", "task.switched"),
    embedded!("1.0", "terminal.command"),
    embedded!("1.0", "test.finished"),
    embedded!("1.1", "test.finished"),
];
