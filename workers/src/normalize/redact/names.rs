//! Names whose values are secrets, and programs whose short flags are.

/// Words that make a name secret, wherever they occur in it.
const WORDS: &[&str] = &[
    "auth", "cookie", "creds", "jwt", "otp", "pass", "passcode", "pwd", "token", "bearer", "sas",
    "pat", "psk",
];
/// The same without a border between words.
const PARTS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "credential",
    "authorization",
    "apikey",
    "accesskey",
    "authtoken",
    "accesstoken",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "accountkey",
    "masterkey",
    "sharedkey",
    "sessionid",
];
/// First words of names that turn something off or ask for it.
const WITHOUT: &[&str] = &["no", "ask", "skip", "without"];
/// Last words of names that say something of a secret, but are none.
const ABOUT: &[&str] = &[
    "file", "path", "dir", "stdin", "prompt", "type", "name", "ttl", "length", "policy", "expiry",
    "command", "helper",
];

/// Whether the value of something of this name is to be hidden: `DB_PASSWORD`, `--apiKey`, `x-auth-token`.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let words = words(name);
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        return false;
    };
    if WITHOUT.contains(&first.as_str()) || ABOUT.contains(&last.as_str()) {
        return false;
    }
    let joined = words.concat();
    words.iter().any(|word| WORDS.contains(&word.as_str()))
        || PARTS.iter().any(|part| joined.contains(part))
}

/// The words of a name in lower case: borders are marks, and capitals after small letters.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for c in name.chars() {
        let border = !c.is_ascii_alphanumeric() || (after_small && c.is_ascii_uppercase());
        if border && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_ascii_alphanumeric()) {
            word.push(c.to_ascii_lowercase());
        }
        after_small = c.is_ascii_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A one-letter flag whose value is a secret.
pub struct ShortFlag {
    /// Its letter.
    pub letter: char,
    /// The value may follow at once: `-pX`.
    pub attached: bool,
    /// The value may follow after a space: `-p X`.
    pub spaced: bool,
}

const fn flag(letter: char, attached: bool, spaced: bool) -> ShortFlag {
    ShortFlag {
        letter,
        attached,
        spaced,
    }
}

/// Programs (or subcommands, as in `docker login`), and their flags.
const PROGRAMS: &[(&str, &[ShortFlag])] = &[
    // `mysql -p db` asks for the password; `-P` is the port.
    (
        "mysql mysqldump mysqladmin mysqlimport mysqlshow mysqlcheck",
        &[flag('p', true, false)],
    ),
    (
        "mariadb mariadb-dump mariadb-admin mariadb-import 7z 7za rar unrar",
        &[flag('p', true, false)],
    ),
    (
        "mongo mongosh mongodump mongorestore mongoexport mongoimport",
        &[flag('p', true, true)],
    ),
    (
        "sshpass cqlsh rabbitmqadmin login",
        &[flag('p', true, true)],
    ),
    ("redis-cli http https httpie xh", &[flag('a', true, true)]),
    ("zip unzip sqlcmd bcp", &[flag('P', true, true)]),
    (
        "ldapsearch ldapadd ldapmodify ldapdelete ldappasswd",
        &[flag('w', true, true)],
    ),
    // `sshpass -p X ssh -p 22`: the second is a port.
    ("ssh scp sftp rsync", &[]),
    (
        "curl smbclient lftp",
        &[flag('u', true, true), flag('U', true, true)],
    ),
];

/// The secret short flags of a program, by its name without folder.
pub fn program(word: &str) -> Option<&'static [ShortFlag]> {
    let name = word.strip_suffix(".exe").unwrap_or(word);
    let known = |names: &str| names.split(' ').any(|known| known == name);
    PROGRAMS
        .iter()
        .find(|(names, _)| known(names))
        .map(|(_, flags)| *flags)
}
