//! Names whose values are secrets, and programs whose short flags are.

/// Words that make a name secret, wherever they occur in it.
const WORDS: &[&str] = &[
    "auth", "cookie", "creds", "jwt", "otp", "totp", "mfa", "pass", "passcode", "passkey",
    "passwd", "pwd", "pw", "token", "bearer", "sas", "pat", "psk", "csrf", "xsrf", "mnemonic",
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
    "accesskeyid",
    "authkey",
    "authtoken",
    "accesstoken",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "accountkey",
    "masterkey",
    "masterauth",
    "sharedkey",
    "sessionid",
    "sessid",
    "licensekey",
    "deploykey",
    "storagekey",
    "appkey",
    "servicekey",
    "clientkey",
    "adminkey",
    "consumerkey",
    "subscriptionkey",
];
/// Endings of words that are secret, such as `storepass` and `rootpw`.
const ENDINGS: &[&str] = &["pass", "pwd", "pw"];
/// Words with such an ending that are not.
const NO_SECRETS: &[&str] = &[
    "bypass",
    "compass",
    "encompass",
    "gopass",
    "keepass",
    "lastpass",
    "multipass",
    "overpass",
    "sshpass",
    "surpass",
    "trespass",
];
/// First words of names that turn something off or ask for it.
const WITHOUT: &[&str] = &["no", "ask", "skip", "without"];
/// Last words of names that say something of a secret, but are none.
const ABOUT: &[&str] = &[
    "file",
    "path",
    "dir",
    "stdin",
    "prompt",
    "type",
    "name",
    "ttl",
    "length",
    "policy",
    "expiry",
    "command",
    "helper",
    "url",
    "uri",
    "endpoint",
    "count",
    "limit",
    "expires",
    "scope",
    "scopes",
    "algorithm",
    "enabled",
    "method",
    "provider",
    "server",
    "fd",
];
/// First words of names ending in `_KEY` that are no secrets.
const OPEN_KEYS: &[&str] = &[
    "cache",
    "composite",
    "foreign",
    "index",
    "map",
    "object",
    "partition",
    "primary",
    "public",
    "range",
    "row",
    "sort",
    "unique",
];
/// Names that are secret if their value looks like one.
const WEAK: &[&str] = &["code", "pin", "salt", "nonce", "u", "p"];
/// Names of the value that belongs to a secret name before it: `Set-Item Env:TOKEN -Value X`.
const VALUES: &[&str] = &["value", "body", "d", "data", "string"];
/// Words that follow a secret name in a sentence.
const SENTENCE: &[&str] = &[
    "a",
    "an",
    "and",
    "are",
    "as",
    "at",
    "authentication",
    "be",
    "by",
    "can",
    "cannot",
    "create",
    "delete",
    "does",
    "empty",
    "expired",
    "failed",
    "field",
    "fields",
    "for",
    "from",
    "get",
    "has",
    "hash",
    "have",
    "if",
    "in",
    "invalid",
    "is",
    "it",
    "list",
    "may",
    "missing",
    "must",
    "not",
    "of",
    "on",
    "or",
    "parser",
    "policy",
    "provider",
    "refused",
    "rejected",
    "required",
    "reset",
    "should",
    "test",
    "tests",
    "that",
    "the",
    "then",
    "this",
    "to",
    "unknown",
    "value",
    "was",
    "were",
    "when",
    "will",
    "with",
    "you",
    "your",
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
    words.iter().any(|word| is_secret_word(word))
        || PARTS.iter().any(|part| joined.contains(part))
        || is_key(name, &words)
}

/// Whether a secret name ends in what makes it secret, so that its value may be the next word.
pub fn ends_secret(name: &str) -> bool {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
    let words = words(name);
    let joined = words.concat();
    is_secret_name(name)
        && (words.last().is_some_and(|word| is_secret_word(word))
            || PARTS.iter().any(|part| {
                joined.ends_with(part)
                    || joined
                        .strip_suffix('s')
                        .is_some_and(|one| one.ends_with(part))
            })
            || is_key(name, &words))
}

/// Whether a secret name is spelled as only programs spell names: `API_KEY`, `_authToken`, `http.token`, `storepass`.
pub fn is_identifier(name: &str) -> bool {
    let words = words(name);
    let is_capital = name.len() > 1
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit());
    let is_camel = name
        .bytes()
        .zip(name.bytes().skip(1))
        .any(|(one, next)| one.is_ascii_lowercase() && next.is_ascii_uppercase());
    let is_plain = |word: &String| {
        let one = word.strip_suffix('s').unwrap_or(word);
        WORDS.contains(&word.as_str())
            || matches!(
                one,
                "password" | "passphrase" | "secret" | "credential" | "authorization"
            )
    };
    let is_joined = words.len() == 1 && !words.iter().any(is_plain);
    // Few commands have this word without its value.
    let is_password = words.len() == 1 && matches!(words[0].as_str(), "password" | "passphrase");
    ends_secret(name)
        && (is_capital || is_camel || is_joined || is_password || name.contains(['_', '.']))
}

/// Whether the value decides if the name is secret.
pub fn is_weak(name: &str) -> bool {
    let plain = name.trim_start_matches('-');
    is_key_name(name) || WEAK.iter().any(|weak| plain.eq_ignore_ascii_case(weak))
}

/// Whether a name of which the value decides is one of keys and signatures.
pub fn is_key_name(name: &str) -> bool {
    let words = words(name);
    let ends = words
        .last()
        .is_some_and(|last| matches!(last.as_str(), "key" | "sig" | "signature"));
    ends && !words
        .first()
        .is_some_and(|first| OPEN_KEYS.contains(&first.as_str()))
}

/// Whether a flag takes a user's name, with a password after a colon.
pub fn is_user(name: &str) -> bool {
    let words = words(name);
    name.starts_with('-')
        && words
            .last()
            .is_some_and(|last| matches!(last.as_str(), "user" | "u" | "login"))
}

/// Whether it names the value of a secret name before it.
pub fn is_value(name: &str) -> bool {
    let name = name.trim_start_matches('-');
    VALUES.iter().any(|value| name.eq_ignore_ascii_case(value)) || name == "b"
}

/// Whether a word after a secret name may be its value: no word of a sentence, no flag, no name of a value.
pub fn may_be_value(value: &str) -> bool {
    let lower = value.to_lowercase();
    !value.is_empty()
        && !value.starts_with(['-', '=', ',', ':', '/', '\\', '.', '&'])
        && !value.ends_with([':', '='])
        && !SENTENCE.contains(&lower.trim_end_matches(['.', ',', '!', '?']))
        && !is_value(value)
}

/// Whether a word after a secret name can hardly be anything else: letters with digits or with signs.
pub fn is_telling(value: &str) -> bool {
    let has = |fits: fn(&char) -> bool| value.chars().any(|c| fits(&c));
    let is_word = value.len() >= 6 && !value.contains(['/', '.', ' ', '$', '=', ':', '(']);
    let mixed = has(char::is_ascii_digit) && has(|c| c.is_alphabetic());
    (is_word && (mixed || has(|c| "!@#%^*".contains(*c)))) || looks_secret(value)
}

/// Whether a value mixes small letters, capitals and digits as no word does.
pub fn looks_secret(value: &str) -> bool {
    let has = |fits: fn(&char) -> bool| value.chars().any(|c| fits(&c));
    value.len() >= 8
        && !value.contains(char::is_whitespace)
        && !value.starts_with(['/', '$', '.'])
        && has(char::is_ascii_digit)
        && has(char::is_ascii_uppercase)
        && has(char::is_ascii_lowercase)
}

fn is_secret_word(word: &str) -> bool {
    let ends = |ending: &&str| word.len() > ending.len() && word.ends_with(*ending);
    WORDS.contains(&word) || (ENDINGS.iter().any(ends) && !NO_SECRETS.contains(&word))
}

/// `STRIPE_KEY` and the like.
fn is_key(name: &str, words: &[String]) -> bool {
    let [first, .., last] = words else {
        return false;
    };
    last == "key"
        && !OPEN_KEYS.contains(&first.as_str())
        && name.contains('_')
        && !name.bytes().any(|byte| byte.is_ascii_lowercase())
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

/// A short flag whose value is a secret.
pub struct ShortFlag {
    /// Its letter, seldom two.
    pub letter: &'static str,
    /// How the value follows.
    pub follows: Follows,
}

/// How a value follows a short flag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// At once: `-pX`.
    Attached,
    /// After a space, and the flag stands alone: `-k X`.
    Alone,
    /// At once or after a space; other letters may stand before the flag's.
    Both,
}

const fn flag(letter: &'static str, follows: Follows) -> ShortFlag {
    ShortFlag { letter, follows }
}

/// Programs (or subcommands, as in `docker login`), and their flags.
const PROGRAMS: &[(&str, &[ShortFlag])] = &[
    // `mysql -p db` asks for the password; `-P` is the port.
    (
        "mysql mysqldump mysqladmin mysqlimport mysqlshow mysqlcheck mysqlbinlog mysqlslap",
        &[flag("p", Follows::Attached)],
    ),
    (
        "mariadb mariadb-dump mariadb-admin mariadb-import 7z 7za rar unrar",
        &[flag("p", Follows::Attached), flag("hp", Follows::Attached)],
    ),
    (
        "mongo mongosh mongodump mongorestore mongoexport mongoimport",
        &[flag("p", Follows::Both)],
    ),
    (
        "sshpass cqlsh rabbitmqadmin login twine rdesktop",
        &[flag("p", Follows::Both), flag("k", Follows::Alone)],
    ),
    ("conan poetry svn", &[flag("p", Follows::Alone)]),
    (
        "redis-cli http https httpie xh",
        &[flag("a", Follows::Both)],
    ),
    (
        "zip unzip sqlcmd bcp ipmitool mosquitto_pub mosquitto_sub",
        &[flag("P", Follows::Both)],
    ),
    (
        "ldapsearch ldapadd ldapmodify ldapdelete ldappasswd kadmin",
        &[flag("w", Follows::Both)],
    ),
    (
        "openssl",
        &[flag("k", Follows::Alone), flag("K", Follows::Alone)],
    ),
    (
        "ssh-keygen",
        &[flag("N", Follows::Alone), flag("P", Follows::Alone)],
    ),
    (
        "snmpget snmpwalk snmpset snmpbulkwalk",
        &[
            flag("c", Follows::Both),
            flag("A", Follows::Both),
            flag("X", Follows::Both),
        ],
    ),
    ("security", &[flag("w", Follows::Alone)]),
    ("doctl vercel", &[flag("t", Follows::Alone)]),
    (
        "curl smbclient lftp rpcclient",
        &[
            flag("u", Follows::Both),
            flag("U", Follows::Both),
            flag("b", Follows::Both),
        ],
    ),
    // `sshpass -p X ssh -p 22`: the second is a port.
    (
        "ssh scp sftp rsync cp mkdir ls tar git cargo npm docker podman psql",
        &[],
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

/// Programs whose arguments are searched or opened, so that a name among them has no value.
pub fn is_reader(word: &str) -> bool {
    "grep egrep fgrep rg ag ack sed awk find fd vim nvim vi nano code emacs cat less more head tail bat cd ls pytest \
     unset printenv which man diff cp mv rm touch mkdir"
        .split(' ')
        .any(|known| known == word)
}
