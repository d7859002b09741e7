//! The end of a log as it may be shown to whoever ordered the cluster: short, plain, and without credentials.
//!
//! A log is whatever programs on the machine wrote, so this errs on the side of hiding: known secrets, whatever has the form of a
//! bootstrap token, private keys, credentials in URLs, and the values of words that name credentials.

/// Most lines that are shown.
const LINES: usize = 25;
/// Most bytes that are shown.
const BYTES: usize = 3 * 1024;
/// Most characters of one line.
const LINE: usize = 300;
/// What stands in the place of what is hidden.
const HIDDEN: &str = "[hidden]";
/// Words that name credentials, or end in one that does: the value behind them is hidden.
const NAMES: [&str; 8] =
    ["password", "passwd", "secret", "token", "authorization", "certificate-key", "api-key", "apikey"];

/// The last lines, cleaned.
pub(super) fn presentable(log: &str, secrets: &[String]) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut in_key = false;
    for line in log.lines() {
        let line = plain(line);
        if line.contains("PRIVATE KEY-----") {
            let begins = line.contains("BEGIN");
            if !std::mem::replace(&mut in_key, begins) {
                if !begins {
                    // The log was cut inside the key: nothing says where that began.
                    lines.retain(|line| line.contains(' '));
                }
                lines.push(HIDDEN.to_owned());
            }
        } else if !in_key && !line.is_empty() {
            lines.push(clip(hide(&line, secrets)));
        }
    }
    let mut bytes = 0;
    let fits = |line: &&String| {
        bytes += line.len() + 1;
        bytes <= BYTES
    };
    let mut kept: Vec<&str> = lines.iter().rev().take(LINES).take_while(fits).map(String::as_str).collect();
    kept.reverse();
    kept.join("\n")
}

/// Without control characters, the sequences that colour a terminal, and what a progress bar wrote before.
fn plain(line: &str) -> String {
    let line = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
    let mut text = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => {
                // `ESC [ … letter`: the sequences that programs write into logs.
                if letters.next() == Some('[') {
                    letters.by_ref().find(char::is_ascii_alphabetic);
                }
            }
            '\t' => text.push(' '),
            letter if letter.is_control() => {}
            letter => text.push(letter),
        }
    }
    text.trim().to_owned()
}

fn clip(line: String) -> String {
    match line.char_indices().nth(LINE) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

fn hide(line: &str, secrets: &[String]) -> String {
    let known = secrets.iter().filter(|secret| !secret.is_empty());
    let line = known.fold(line.to_owned(), |line, secret| line.replace(secret.as_str(), HIDDEN));
    let mut value_follows = false;
    let words = line.split(' ').map(|word| {
        let scheme = word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic");
        if value_follows && !scheme && !word.is_empty() {
            value_follows = false;
            return HIDDEN.to_owned();
        }
        value_follows |= word.eq_ignore_ascii_case("bearer") || announces(word);
        without_token(&without_login(&without_value(word)))
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether text is, or ends in, a word that names a credential.
fn names(text: &str) -> bool {
    let text = text.trim_matches(['"', '\'', '`', '(', '[', '{', '\\']).to_ascii_lowercase().replace('_', "-");
    NAMES.iter().any(|name| text.ends_with(name))
}

/// `--token`, `password:`: the value is the next word.
fn announces(word: &str) -> bool {
    match word.strip_suffix([':', '=']) {
        Some(name) => names(name),
        None => word.starts_with("--") && names(word),
    }
}

/// `token=x`, `"password":"x"`, `https://host/?api_key=x`.
fn without_value(word: &str) -> String {
    let marks = word.match_indices([':', '=']).filter(|(at, _)| at + 1 < word.len());
    for (at, mark) in marks {
        let before = word.get(..at).unwrap_or_default();
        if names(before.rsplit(['?', '&', ',', '{']).next().unwrap_or_default()) {
            return format!("{before}{mark}{HIDDEN}");
        }
    }
    word.to_owned()
}

/// `https://user:password@host`.
fn without_login(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((login, _)) => format!("{scheme}://{HIDDEN}{}", rest.get(login.len()..).unwrap_or_default()),
        None => word.to_owned(),
    }
}

/// Six characters, a dot, sixteen characters: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/.
fn without_token(word: &str) -> String {
    let in_token = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
    let is_token = |run: &str| {
        run.trim_end_matches('.').split_once('.').is_some_and(|(id, secret)| id.len() == 6 && secret.len() == 16)
    };
    let found = word.split(|c| !in_token(c)).find(|run| is_token(run));
    match found {
        Some(token) => without_token(&word.replace(token, HIDDEN)),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_bounded() {
        let log: String = (0..2000).map(|n| format!("line {n}\n")).collect();
        let shown = presentable(&log, &[]);
        assert_eq!(shown.lines().count(), LINES);
        assert!(shown.ends_with("line 1999"), "{shown}");
        let wide = presentable(&format!("{}\n", "ü".repeat(5000)).repeat(100), &[]);
        assert!(wide.len() <= BYTES && wide.lines().all(|line| line.chars().count() <= LINE + 1), "{}", wide.len());
        assert_eq!(presentable("", &[]), "");
        assert_eq!(presentable("\n \r\n\n", &[]), "");
    }

    #[test]
    fn what_only_a_terminal_or_a_database_minds_is_gone() {
        let shown = presentable("\u{1b}[31merror\u{1b}[0m\0: no\troute\u{7}\r\n 10%\r 50%\r100% done\n", &[]);
        assert_eq!(shown, "error: no route\n100% done");
    }

    #[test]
    fn credentials_are_hidden_and_the_reason_is_not() {
        let secret = "s3cretsecretsecr".to_owned();
        for (line, shown) in [
            ("joining with abcdef.0123456789abcdef now", "joining with [hidden] now"),
            ("token=abcdef.0123456789abcdef, id", "token=[hidden] id"),
            (
                "kubeadm join --token abcdef.0123456789abcdef 10.0.0.1:6443",
                "kubeadm join --token [hidden] 10.0.0.1:6443",
            ),
            ("half s3cretsecretsecr of it", "half [hidden] of it"),
            ("Authorization: Bearer eyJhbGciOi", "Authorization: Bearer [hidden]"),
            ("pull https://bob:pw@registry.local/v2/", "pull https://[hidden]@registry.local/v2/"),
            ("GET https://h/?x=1&api_key=abc", "GET https://h/?x=1&api_key=[hidden]"),
            ("{\"password\":\"hunter2\",\"a\":1}", "{\"password\":[hidden]"),
            ("DB_PASSWORD=hunter2", "DB_PASSWORD=[hidden]"),
            ("for token ID \"abcdef\", will try again", "for token ID \"abcdef\", will try again"),
            ("sha256:0123456789abcdef is not pinned", "sha256:0123456789abcdef is not pinned"),
            ("dial tcp 10.0.0.1:6443: connect: no route", "dial tcp 10.0.0.1:6443: connect: no route"),
        ] {
            assert_eq!(presentable(line, std::slice::from_ref(&secret)), shown, "{line}");
        }
    }

    #[test]
    fn private_keys_are_hidden_also_where_the_log_was_cut() {
        let begin = "before it\n-----BEGIN PRIVATE KEY-----\nMIIE\nabcd\n-----END PRIVATE KEY-----\nafter it\n";
        assert_eq!(presentable(begin, &[]), "before it\n[hidden]\nafter it");
        assert_eq!(presentable("MIIE\nabcd==\n-----END RSA PRIVATE KEY-----\nafter it", &[]), "[hidden]\nafter it");
    }
}
