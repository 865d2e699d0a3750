//! `devtrail completions`: what makes a shell complete commands and flags.

use clap_complete::Shell;

use crate::output;

/// For which shell.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail completions bash > ~/.local/share/bash-completion/completions/devtrail
  devtrail completions zsh > ~/.zfunc/_devtrail    in a folder of fpath
  devtrail completions fish > ~/.config/fish/completions/devtrail.fish")]
pub struct CompletionsSettings {
    /// The shell
    shell: Shell,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if stdout cannot be written.
pub fn run(settings: &CompletionsSettings, mut command: clap::Command) -> anyhow::Result<()> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(settings.shell, &mut command, name, &mut script);
    Ok(output::line(String::from_utf8_lossy(&script).trim_end())?)
}
