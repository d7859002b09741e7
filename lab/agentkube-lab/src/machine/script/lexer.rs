//! Takes a shell script apart: words, separators, redirections, here-documents. Enough of the POSIX grammar (§2.2, §2.3, §2.7) to
//! tell what a bootstrap script does; pipes and lists are separate commands, expressions are not evaluated.

use std::collections::BTreeMap;

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `$NAME`, `${NAME}`, `${NAME:-default}`.
    Variable(String, String),
}

/// A word before its variables are filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word(Vec<Part>);

impl Word {
    /// The word with the values of the variables.
    pub fn expand(&self, variables: &BTreeMap<String, String>) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Variable(name, default) => {
                variables.get(name).filter(|value| !value.is_empty()).unwrap_or(default).clone()
            }
        };
        self.0.iter().map(part).collect()
    }

    fn push(&mut self, letter: char) {
        match self.0.last_mut() {
            Some(Part::Text(text)) => text.push(letter),
            _ => self.0.push(Part::Text(letter.to_string())),
        }
    }
}

/// Where the output of a command goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The file.
    pub target: Word,
    /// `>>`.
    pub append: bool,
}

/// One simple command, keywords such as `do` included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Its words.
    pub words: Vec<Word>,
    /// Where its standard output goes, if into a file.
    pub output: Option<Output>,
    /// Its here-document.
    pub input: Option<Word>,
}

/// All commands of a script in textual order.
pub fn commands(script: &str) -> Vec<Command> {
    let mut lexer =
        Lexer { letters: script.chars().collect(), at: 0, commands: Vec::new(), command: Command::default() };
    lexer.run();
    lexer.commands
}

struct Lexer {
    letters: Vec<char>,
    at: usize,
    commands: Vec<Command>,
    command: Command,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.letters.get(self.at + ahead).copied()
    }

    fn run(&mut self) {
        // Delimiters of here-documents whose bodies start on the next line, and the commands that they belong to.
        let mut pending: Vec<(String, bool, usize)> = Vec::new();
        while let Some(letter) = self.peek(0) {
            match letter {
                '\n' => {
                    self.at += 1;
                    self.end_command();
                    for (delimiter, expands, command) in std::mem::take(&mut pending) {
                        let body = self.body(&delimiter, expands);
                        if let Some(command) = self.commands.get_mut(command) {
                            command.input = Some(body);
                        }
                    }
                }
                ' ' | '\t' | '\r' => self.at += 1,
                '\\' if self.peek(1) == Some('\n') => self.at += 2,
                '#' => {
                    while self.peek(0).is_some_and(|letter| letter != '\n') {
                        self.at += 1;
                    }
                }
                '&' if self.peek(1) == Some('>') => {
                    self.at += 1;
                }
                ';' | '&' | '|' | '(' | ')' => {
                    self.at += 1;
                    self.end_command();
                }
                '<' if self.peek(1) == Some('<') && self.peek(2) != Some('<') => {
                    self.at += 2;
                    if self.peek(0) == Some('-') {
                        self.at += 1;
                    }
                    self.blanks();
                    let quoted = matches!(self.peek(0), Some('\'' | '"' | '\\'));
                    let delimiter = self.word().expand(&BTreeMap::new());
                    pending.push((delimiter, !quoted, self.commands.len()));
                }
                '<' => {
                    self.at += 1;
                    self.blanks();
                    self.word();
                }
                '>' => self.output(true),
                digit if digit.is_ascii_digit() && self.peek(1) == Some('>') => {
                    self.at += 1;
                    self.output(digit == '1');
                }
                _ => {
                    let word = self.word();
                    self.command.words.push(word);
                }
            }
        }
        self.end_command();
    }

    fn end_command(&mut self) {
        let command = std::mem::take(&mut self.command);
        if !command.words.is_empty() || command.output.is_some() {
            self.commands.push(command);
        }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(0), Some(' ' | '\t')) {
            self.at += 1;
        }
    }

    /// At a `>`: remembers the file, unless it is another descriptor or not the standard output.
    fn output(&mut self, standard: bool) {
        self.at += 1;
        let append = self.peek(0) == Some('>');
        if append || self.peek(0) == Some('|') {
            self.at += 1;
        }
        let descriptor = self.peek(0) == Some('&');
        if descriptor {
            self.at += 1;
        }
        self.blanks();
        let target = self.word();
        if standard && !descriptor {
            self.command.output = Some(Output { target, append });
        }
    }

    /// The lines up to the delimiter.
    fn body(&mut self, delimiter: &str, expands: bool) -> Word {
        let mut body = Word::default();
        loop {
            let rest = self.letters.get(self.at..).unwrap_or_default();
            if rest.is_empty() {
                return body;
            }
            let length = rest.iter().position(|letter| *letter == '\n').unwrap_or(rest.len());
            let line: String = rest.iter().take(length).collect();
            if line.trim_start_matches('\t') == delimiter {
                self.at += (length + 1).min(rest.len());
                return body;
            }
            let end = self.at + length;
            while self.at < end {
                match self.peek(0) {
                    Some('$') if expands => self.variable(&mut body),
                    Some(letter) => {
                        body.push(letter);
                        self.at += 1;
                    }
                    None => break,
                }
            }
            self.at = (end + 1).min(self.letters.len());
            body.push('\n');
        }
    }

    fn word(&mut self) -> Word {
        let mut word = Word::default();
        while let Some(letter) = self.peek(0) {
            match letter {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                '\\' => {
                    match self.peek(1) {
                        Some('\n') | None => {}
                        Some(escaped) => word.push(escaped),
                    }
                    self.at += 2;
                }
                '\'' => self.single(&mut word),
                '"' => self.double(&mut word),
                '$' => self.variable(&mut word),
                '`' => self.backticks(&mut word),
                letter => {
                    word.push(letter);
                    self.at += 1;
                }
            }
        }
        word
    }

    fn single(&mut self, word: &mut Word) {
        self.at += 1;
        // An empty pair of quotes is a word too.
        word.0.push(Part::Text(String::new()));
        while let Some(letter) = self.peek(0) {
            self.at += 1;
            if letter == '\'' {
                return;
            }
            word.push(letter);
        }
    }

    fn double(&mut self, word: &mut Word) {
        self.at += 1;
        word.0.push(Part::Text(String::new()));
        while let Some(letter) = self.peek(0) {
            match letter {
                '"' => {
                    self.at += 1;
                    return;
                }
                '\\' if matches!(self.peek(1), Some('"' | '\\' | '$' | '`' | '\n')) => {
                    match self.peek(1) {
                        Some('\n') | None => {}
                        Some(escaped) => word.push(escaped),
                    }
                    self.at += 2;
                }
                '$' => self.variable(word),
                '`' => self.backticks(word),
                letter => {
                    word.push(letter);
                    self.at += 1;
                }
            }
        }
    }

    /// At a `$`. Command substitutions stay as they are written.
    fn variable(&mut self, word: &mut Word) {
        self.at += 1;
        match self.peek(0) {
            Some('{') => {
                let inside = self.enclosed('{', '}');
                let (name, default) =
                    inside.split_once(":-").or_else(|| inside.split_once('-')).unwrap_or((&inside, ""));
                word.0.push(Part::Variable(name.to_owned(), default.to_owned()));
            }
            Some('(') => {
                let inside = self.enclosed('(', ')');
                format!("$({inside})").chars().for_each(|letter| word.push(letter));
            }
            Some(letter) if letter.is_ascii_alphabetic() || letter == '_' => {
                let mut name = String::new();
                while let Some(letter) = self.peek(0).filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
                {
                    name.push(letter);
                    self.at += 1;
                }
                word.0.push(Part::Variable(name, String::new()));
            }
            _ => word.push('$'),
        }
    }

    fn backticks(&mut self, word: &mut Word) {
        word.push('`');
        self.at += 1;
        while let Some(letter) = self.peek(0) {
            self.at += 1;
            word.push(letter);
            if letter == '`' {
                return;
            }
        }
    }

    /// What stands between a bracket at the current place and the one that closes it.
    fn enclosed(&mut self, open: char, close: char) -> String {
        let (mut depth, mut inside) = (0, String::new());
        while let Some(letter) = self.peek(0) {
            self.at += 1;
            if letter == close {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            if depth > 0 {
                inside.push(letter);
            }
            if letter == open {
                depth += 1;
            }
        }
        inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(script: &str) -> Vec<Vec<String>> {
        let variables = BTreeMap::from([("V".to_owned(), "1.2".to_owned())]);
        let words = |command: &Command| command.words.iter().map(|word| word.expand(&variables)).collect();
        commands(script).iter().map(words).collect()
    }

    #[test]
    fn words_quotes_variables_and_separators() {
        let script = "a 'b c' \"d $V\" ${V} ${X:-y} \\\n  e # no\nf && g || h; i | j\nk=$(x; y (z)) '' l\\ m";
        let expected: Vec<Vec<&str>> = vec![
            vec!["a", "b c", "d 1.2", "1.2", "y", "e"],
            vec!["f"],
            vec!["g"],
            vec!["h"],
            vec!["i"],
            vec!["j"],
            vec!["k=$(x; y (z))", "", "l m"],
        ];
        assert_eq!(plain(script), expected);
    }

    #[test]
    fn redirections_and_here_documents() {
        let found = commands("cat > /a <<'EOF'\nkubeadm join $V\nEOF\necho x >> /b 2>&1\n: > /c\ny 2> /d < /e\n");
        let variables = BTreeMap::new();
        let output =
            |command: &Command| command.output.as_ref().map(|output| (output.target.expand(&variables), output.append));
        assert_eq!(
            found.iter().map(output).collect::<Vec<_>>(),
            [Some(("/a".to_owned(), false)), Some(("/b".to_owned(), true)), Some(("/c".to_owned(), false)), None]
        );
        assert_eq!(found[0].input.as_ref().unwrap().expand(&variables), "kubeadm join $V\n");
        assert_eq!(found.len(), 4);
    }
}
