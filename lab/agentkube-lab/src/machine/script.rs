//! The tiny interpreter of bootstrap scripts.
//!
//! Commands run in the order in which they are written, whatever the conditions around them say. A few have an effect on the
//! machine's files; `kubeadm join` comes back to the caller, with the retry loop around it; all else is recorded and ignored.
//! `docs/lab-machines.md` has the list.

mod lexer;

use std::collections::{BTreeMap, VecDeque};

use lab_wire::Millis;
use lexer::Command;

use super::disk::Disk;

/// Words that only give a script its shape.
const KEYWORDS: [&str; 11] = ["do", "then", "else", "if", "elif", "fi", "{", "}", "!", "time", "exec"];
/// More commands than any bootstrap script has: a script that starts itself ends here.
const MOST_COMMANDS: usize = 10_000;

/// A `kubeadm join` that a script comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinCommand {
    /// What follows `kubeadm join`.
    pub arguments: Vec<String>,
    /// How often the loop around it runs it; `None` is until it succeeds.
    pub attempts: Option<u32>,
    /// How long the loop sleeps in between.
    pub pause: Millis,
}

/// What is still to do.
enum Item {
    Command(Command),
    /// The end of a script that was started by another one.
    End,
}

/// A loop that is open.
#[derive(Clone, Copy, Debug)]
struct Loop {
    attempts: Option<u32>,
    pause: Millis,
}

/// A script that is being carried out.
pub struct Script {
    queue: VecDeque<Item>,
    variables: BTreeMap<String, String>,
    loops: Vec<Loop>,
    left: usize,
}

impl Script {
    /// A script that has not begun.
    pub fn new(text: &str) -> Self {
        Script {
            queue: lexer::commands(text).into_iter().map(Item::Command).collect(),
            variables: BTreeMap::new(),
            loops: Vec::new(),
            left: MOST_COMMANDS,
        }
    }

    /// Runs until the next `kubeadm join`, or to the end.
    pub fn next_join(&mut self, disk: &mut Disk) -> Option<JoinCommand> {
        while let Some(item) = self.queue.pop_front() {
            let Item::Command(command) = item else { continue };
            self.left = self.left.checked_sub(1)?;
            if let Some(join) = self.command(&command, disk) {
                return Some(join);
            }
        }
        None
    }

    /// The last join failed for good: the script that it stands in ends, and the one that started that script, if any, goes on.
    pub fn fail(&mut self) {
        self.loops.clear();
        while let Some(Item::Command(_)) = self.queue.pop_front() {}
    }

    fn command(&mut self, command: &Command, disk: &mut Disk) -> Option<JoinCommand> {
        let words: Vec<String> = command.words.iter().map(|word| word.expand(&self.variables)).collect();
        let mut words: &[String] = &words;
        while let Some((first, rest)) = words.split_first() {
            match first.as_str() {
                "while" | "until" => {
                    let (attempts, pause) = (self.bound_of_loop(), self.pause_of_loop());
                    self.loops.push(Loop { attempts, pause });
                }
                "for" => {
                    let pause = self.pause_of_loop();
                    self.loops.push(Loop { attempts: Some(rounds(rest)), pause });
                    return None;
                }
                "done" => {
                    self.loops.pop();
                }
                keyword if KEYWORDS.contains(&keyword) => {}
                "sudo" | "env" | "export" | "readonly" | "local" | "nohup" => {}
                word => match assignment(word) {
                    Some((name, value)) => {
                        note_version(name, value, disk);
                        self.variables.insert(name.to_owned(), value.to_owned());
                    }
                    None => break,
                },
            }
            words = rest;
        }
        words.iter().for_each(|word| note_package(word, disk));
        if let Some(output) = &command.output {
            let target = output.target.expand(&self.variables);
            self.write(&target, output.append, words, command, disk);
        }
        if let Some(arguments) = after_join(words) {
            let around = self.loops.last().copied().unwrap_or(Loop { attempts: Some(1), pause: 0 });
            return Some(JoinCommand { arguments, attempts: around.attempts, pause: around.pause });
        }
        self.simple(words, disk);
        None
    }

    /// Carries out a command that is no join.
    fn simple(&mut self, words: &[String], disk: &mut Disk) {
        let Some((program, arguments)) = words.split_first() else { return };
        let operands = || arguments.iter().filter(|argument| !argument.starts_with('-'));
        match program.rsplit('/').next().unwrap_or(program) {
            "rm" | "unlink" => operands().for_each(|path| {
                disk.files.remove(path);
            }),
            "shred" if arguments.iter().any(|argument| argument.starts_with('-') && argument.contains('u')) => {
                operands().for_each(|path| {
                    disk.files.remove(path);
                });
            }
            "touch" => operands().for_each(|path| disk.files.append(path, b"")),
            "truncate" => operands().for_each(|path| disk.files.truncate(path)),
            "cloud-init" if arguments.first().is_some_and(|verb| verb == "clean") => {
                disk.files.remove("/var/lib/cloud");
                disk.files.remove("/run/cloud-init");
                disk.instance = None;
                if arguments.iter().any(|argument| matches!(argument.as_str(), "--logs" | "-l")) {
                    disk.files.remove("/var/log/cloud-init*");
                }
            }
            "hostnamectl"
                if arguments.first().is_some_and(|verb| matches!(verb.as_str(), "set-hostname" | "hostname")) =>
            {
                if let Some(name) = arguments.get(1) {
                    disk.hostname.clone_from(name);
                }
            }
            "." | "source" => {
                if let Some(text) = arguments.first().and_then(|path| disk.files.text(path)) {
                    self.nest(&text);
                }
            }
            "sh" | "bash" | "dash" => self.shell(arguments, disk),
            "echo" | "printf" | "cat" | "sleep" | ":" | "true" => {}
            _ => match disk.files.text(program).filter(|text| text.starts_with("#!")) {
                Some(text) => self.nest(&text),
                None => disk.ignored.push(words.join(" ")),
            },
        }
    }

    /// `sh -c '…'`, `sh FILE`.
    fn shell(&mut self, arguments: &[String], disk: &mut Disk) {
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let is_option = argument.starts_with(['-', '+']);
            if is_option && !argument.starts_with("--") && argument.ends_with('c') {
                if let Some(text) = arguments.next() {
                    self.nest(text);
                }
                return;
            }
            if is_option && argument.ends_with('o') {
                arguments.next();
            } else if !is_option {
                match disk.files.text(argument) {
                    Some(text) => self.nest(&text),
                    None => disk.ignored.push(format!("sh {argument}")),
                }
                return;
            }
        }
    }

    /// Carries out another script before the rest of this one.
    fn nest(&mut self, text: &str) {
        self.queue.push_front(Item::End);
        for command in lexer::commands(text).into_iter().rev() {
            self.queue.push_front(Item::Command(command));
        }
    }

    /// What a command writes into a file: the words of `echo`, a here-document, otherwise nothing that the lab knows.
    fn write(&self, target: &str, append: bool, words: &[String], command: &Command, disk: &mut Disk) {
        if target.starts_with("/dev/") || target.is_empty() {
            return;
        }
        let content = match (&command.input, words.split_first()) {
            (Some(input), _) => input.expand(&self.variables),
            (None, Some((program, arguments))) if program == "echo" => {
                let text: Vec<&str> =
                    arguments.iter().map(String::as_str).filter(|word| !matches!(*word, "-n" | "-e")).collect();
                format!("{}\n", text.join(" "))
            }
            _ => String::new(),
        };
        content.lines().filter_map(assignment).for_each(|(name, value)| note_version(name, value, disk));
        match append {
            true => disk.files.append(target, content.as_bytes()),
            false => disk.files.write(target, content, "0644"),
        }
    }

    /// The commands up to the end of the loop that begins here, as words.
    fn body_of_loop(&self) -> impl Iterator<Item = Vec<String>> {
        let plain = |item: &Item| match item {
            Item::Command(command) => Some(command.words.iter().map(|word| word.expand(&self.variables)).collect()),
            Item::End => None,
        };
        let body = self.queue.iter().map_while(plain);
        body.take_while(|words: &Vec<String>| words.first().is_none_or(|word| word != "done"))
    }

    /// The first `sleep` in the loop that begins here.
    fn pause_of_loop(&self) -> Millis {
        let pause = |words: Vec<String>| {
            let seconds: f64 = after(&words, &["sleep"])?.trim_end_matches('s').parse().ok()?;
            Some((seconds.clamp(0.0, 3600.0) * 1000.0) as Millis)
        };
        self.body_of_loop().find_map(pause).unwrap_or(0)
    }

    /// The number that the loop which begins here compares a counter with: `[ "$n" -lt 20 ] || exit 1`.
    fn bound_of_loop(&self) -> Option<u32> {
        self.body_of_loop().find_map(|words| after(&words, &["-lt", "-ge", "-le", "-gt", "-eq"])?.parse().ok())
    }
}

/// The word that follows the first of these.
fn after<'a>(words: &'a [String], markers: &[&str]) -> Option<&'a str> {
    let at = words.iter().position(|word| markers.contains(&word.as_str()))?;
    words.get(at + 1).map(String::as_str)
}

/// What follows `kubeadm join`, wherever in the command it stands: behind `timeout 300`, as an argument of a function.
fn after_join(words: &[String]) -> Option<Vec<String>> {
    let is_join = |pair: &[String]| match pair {
        [program, verb] => program.rsplit('/').next() == Some("kubeadm") && verb == "join",
        _ => false,
    };
    let at = words.windows(2).position(is_join)?;
    Some(words.get(at + 2..).unwrap_or_default().to_vec())
}

/// How often `for x in …` runs: its words, `$(seq …)` and `{1..n}` counted.
fn rounds(words: &[String]) -> u32 {
    let counted = |word: &String| -> u32 {
        let numbers =
            |text: &str| text.split([' ', '.']).filter_map(|part| part.parse::<u32>().ok()).collect::<Vec<_>>();
        let inside = word.strip_prefix("$(seq ").and_then(|rest| rest.strip_suffix(')')).or_else(|| {
            word.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).filter(|rest| rest.contains(".."))
        });
        match inside.map(numbers).as_deref() {
            Some([last]) => *last,
            Some([first, last]) => (last + 1).saturating_sub(*first),
            Some([first, step, last]) => (last.saturating_sub(*first) / (*step).max(1)) + 1,
            _ => 1,
        }
    };
    words.iter().skip(2).map(counted).sum::<u32>().max(1)
}

/// `NAME=value`.
fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let starts = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    let valid = starts && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    valid.then_some((name, value.trim_matches(['"', '\''])))
}

/// `KUBERNETES_VERSION=v1.35.2` says which kubelet and kubeadm a script installs.
pub(super) fn note_version(name: &str, value: &str, disk: &mut Disk) {
    if matches!(name, "KUBERNETES_VERSION" | "K8S_VERSION" | "KUBELET_VERSION") {
        note(value, disk);
    }
}

/// So do `kubelet=1.35.2-1.1` and a download from `…/v1.35.2/bin/linux/amd64/kubelet`.
pub(super) fn note_package(word: &str, disk: &mut Disk) {
    if let Some(version) = word.strip_prefix("kubelet=") {
        note(version, disk);
    } else if word.contains("://") && word.contains("/bin/linux/") && word.contains("/kubelet") {
        let version = word.split('/').find(|part| part.starts_with("v1."));
        version.into_iter().for_each(|version| note(version, disk));
    }
}

fn note(version: &str, disk: &mut Disk) {
    let version = version.trim_start_matches('v').split(['-', '+', '*']).next().unwrap_or_default();
    let numbers: Vec<&str> = version.trim_end_matches('.').split('.').collect();
    if numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok()) {
        disk.kubernetes = Some(format!("v{}", numbers.join(".")));
    }
}

#[cfg(test)]
mod tests;
