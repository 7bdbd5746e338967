//! Configuration in layers: defaults, one TOML file, the environment, flags; later ones win.
//!
//! A key that nothing knows is an error that names the nearest known one. What keys there are, and
//! of which type, is read off the default value, so a structure need not be described twice.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Environment variables of the server begin with this; two underscores part the levels, as in
/// `BARRAGE__HTTP__LISTEN`.
pub const ENV_PREFIX: &str = "BARRAGE__";

/// Why a configuration was not accepted. The text tells where and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("failed to read {path}: {source}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{origin} is not valid TOML: {message}")]
    Syntax {
        /// Where it came from.
        origin: String,
        /// What the parser says, with line and column.
        message: String,
    },
    /// A key that nothing knows.
    #[error("{origin}: unknown key `{key}`{}", hint(nearest.as_deref()))]
    UnknownKey {
        /// Where it came from.
        origin: String,
        /// The key, with its sections.
        key: String,
        /// The known key most like it.
        nearest: Option<String>,
    },
    /// A value of the wrong type.
    #[error("{origin}: `{key}` takes {expected}, not {found}")]
    WrongType {
        /// Where it came from.
        origin: String,
        /// The key, with its sections.
        key: String,
        /// What it takes, in words.
        expected: &'static str,
        /// What stood there.
        found: String,
    },
    /// A value of the right type that makes no sense.
    #[error("configuration: {0}")]
    Invalid(String),
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |key| format!(" (did you mean `{key}`?)"))
}

/// One source of settings.
#[derive(Debug)]
pub struct Layer {
    origin: String,
    settings: Settings,
}

#[derive(Debug)]
enum Settings {
    /// Typed, from a file.
    Table(Table),
    /// Texts, from the environment or flags: dotted key, value, and how the source spells the key.
    Texts(Vec<(String, String, String)>),
}

impl Layer {
    /// A TOML file.
    ///
    /// # Errors
    /// When it cannot be read or is not TOML.
    pub fn file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::toml(&path.display().to_string(), &text)
    }

    /// TOML text.
    ///
    /// # Errors
    /// When it is not TOML.
    pub fn toml(origin: &str, text: &str) -> Result<Self, ConfigError> {
        let table = text.parse::<Table>().map_err(|error| ConfigError::Syntax {
            origin: origin.to_owned(),
            message: error.to_string(),
        })?;
        Ok(Self {
            origin: origin.to_owned(),
            settings: Settings::Table(table),
        })
    }

    /// The environment: those of `vars` that begin with [`ENV_PREFIX`].
    pub fn environment(vars: impl IntoIterator<Item = (String, String)>) -> Self {
        let texts = vars
            .into_iter()
            .filter_map(|(name, value)| {
                let key = name
                    .strip_prefix(ENV_PREFIX)?
                    .to_lowercase()
                    .replace("__", ".");
                Some((key, value, name))
            })
            .collect();
        Self {
            origin: "the environment".into(),
            settings: Settings::Texts(texts),
        }
    }

    /// Flags: dotted keys and their values.
    pub fn flags(flags: impl IntoIterator<Item = (String, String)>) -> Self {
        let texts = flags
            .into_iter()
            .map(|(key, value)| (key.clone(), value, key))
            .collect();
        Self {
            origin: "the command line".into(),
            settings: Settings::Texts(texts),
        }
    }
}

/// Merges `layers`, first to last, over the default value.
///
/// # Errors
/// At the first key that nothing knows, or value that its key does not take.
pub fn load<T: Default + Serialize + DeserializeOwned>(
    layers: Vec<Layer>,
) -> Result<T, ConfigError> {
    let defaults = Table::try_from(T::default())
        .map_err(|error| ConfigError::Invalid(format!("the defaults are not a table: {error}")))?;
    let known = known_keys(&defaults);
    let mut merged = defaults.clone();
    for layer in layers {
        match layer.settings {
            Settings::Table(table) => {
                merge_table(&mut merged, &table, "", &layer.origin, &known)?;
            }
            Settings::Texts(texts) => {
                for (key, text, spelled) in texts {
                    merge_text(&mut merged, &key, &text, &spelled, &layer.origin, &known)?;
                }
            }
        }
    }
    merged.clone().try_into().map_err(|error: toml::de::Error| {
        let key = culprit::<T>(&defaults, &merged, &known).unwrap_or_default();
        ConfigError::Invalid(format!("`{key}`: {}", error.message()))
    })
}

/// The key whose value is refused even if everything else is as by default.
fn culprit<T: DeserializeOwned>(
    defaults: &Table,
    merged: &Table,
    known: &[String],
) -> Option<String> {
    let refused = |key: &&String| {
        let mut alone = defaults.clone();
        let mut names = key.split('.');
        let (last, sections) = (names.next_back().unwrap_or_default(), names);
        let mut places = (&mut alone, merged);
        for name in sections {
            let inner = places.0.get_mut(name).and_then(Value::as_table_mut);
            let Some(inner) = inner.zip(places.1.get(name).and_then(Value::as_table)) else {
                return false;
            };
            places = inner;
        }
        if let Some(value) = places.1.get(last) {
            places.0.insert(last.to_owned(), value.clone());
        }
        alone.try_into::<T>().is_err()
    };
    known.iter().find(refused).cloned()
}

fn known_keys(defaults: &Table) -> Vec<String> {
    fn walk(table: &Table, prefix: &str, keys: &mut Vec<String>) {
        for (name, value) in table {
            let key = join(prefix, name);
            if let Value::Table(inner) = value {
                walk(inner, &key, keys);
            }
            keys.push(key);
        }
    }
    let mut keys = Vec::new();
    walk(defaults, "", &mut keys);
    keys
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

fn unknown(origin: &str, key: &str, spelled: &str, known: &[String]) -> ConfigError {
    // Farther than half the key's length apart, a suggestion would be a guess.
    let bound = (key.len() / 3).max(1);
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, candidate)| candidate.clone());
    ConfigError::UnknownKey {
        origin: origin.to_owned(),
        key: spelled.to_owned(),
        nearest,
    }
}

fn merge_table(
    merged: &mut Table,
    layer: &Table,
    prefix: &str,
    origin: &str,
    known: &[String],
) -> Result<(), ConfigError> {
    for (name, value) in layer {
        let key = join(prefix, name);
        let slot = merged
            .get_mut(name)
            .ok_or_else(|| unknown(origin, &key, &key, known))?;
        match (slot, value) {
            (Value::Table(inner), Value::Table(table)) => {
                merge_table(inner, table, &key, origin, known)?;
            }
            (Value::Float(slot), Value::Integer(number)) => {
                *slot = f64::from(i32::try_from(*number).unwrap_or(i32::MAX));
            }
            (slot, value) if slot.same_type(value) => *slot = value.clone(),
            (slot, value) => {
                return Err(ConfigError::WrongType {
                    origin: origin.to_owned(),
                    key,
                    expected: in_words(slot),
                    found: value.to_string(),
                });
            }
        }
    }
    Ok(())
}

fn merge_text(
    merged: &mut Table,
    key: &str,
    text: &str,
    spelled: &str,
    origin: &str,
    known: &[String],
) -> Result<(), ConfigError> {
    let mut names = key.split('.');
    let first = names.next().unwrap_or_default();
    let slot = names
        .try_fold(merged.get_mut(first), |slot, name| {
            Some(
                slot.and_then(Value::as_table_mut)
                    .and_then(|table| table.get_mut(name)),
            )
        })
        .flatten()
        .ok_or_else(|| unknown(origin, key, spelled, known))?;
    let parsed = match slot {
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Float(_) => text.parse().ok().map(Value::Float),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        Value::Array(_) => list(text).map(Value::Array),
        Value::Datetime(_) | Value::Table(_) => None,
    };
    let Some(parsed) = parsed else {
        return Err(ConfigError::WrongType {
            origin: origin.to_owned(),
            key: spelled.to_owned(),
            expected: in_words(slot),
            found: format!("{text:?}"),
        });
    };
    *slot = parsed;
    Ok(())
}

/// A list as a file has it, `["a", "b"]`, or as is easier to type: `a, b`.
fn list(text: &str) -> Option<Vec<Value>> {
    if text.trim_start().starts_with('[') {
        let table: Table = format!("list = {text}").parse().ok()?;
        return table.get("list")?.as_array().cloned();
    }
    let items = text.split(',').map(str::trim);
    let items = items.filter(|item| !item.is_empty());
    Some(items.map(|item| Value::String(item.to_owned())).collect())
}

const fn in_words(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Config {
        name: String,
        http: Http,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Http {
        listen: String,
        port: u16,
        strict: bool,
        trusted: Vec<String>,
    }

    impl Default for Http {
        fn default() -> Self {
            Self {
                listen: "0.0.0.0:8080".into(),
                port: 1,
                strict: false,
                trusted: vec![],
            }
        }
    }

    fn env(pairs: &[(&str, &str)]) -> Layer {
        Layer::environment(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        )
    }

    fn error(layers: Vec<Layer>) -> String {
        load::<Config>(layers)
            .expect_err("the configuration is bad")
            .to_string()
    }

    #[test]
    fn flags_win_over_environment_and_environment_over_file() {
        let file = Layer::toml("f", "name='file'\n[http]\nlisten='file'\nport=7").unwrap();
        let environment = env(&[
            ("BARRAGE__HTTP__LISTEN", "env"),
            ("BARRAGE__NAME", "env"),
            ("PATH", "/"),
        ]);
        let flags = Layer::flags([("http.listen".to_owned(), "flag".to_owned())]);
        let config: Config = load(vec![file, environment, flags]).unwrap();
        assert_eq!(
            (
                config.name.as_str(),
                config.http.listen.as_str(),
                config.http.port
            ),
            ("env", "flag", 7)
        );
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        let file = Layer::toml("barrage.toml", "[http]\nlistn='x'").unwrap();
        assert_eq!(
            error(vec![file]),
            "barrage.toml: unknown key `http.listn` (did you mean `http.listen`?)"
        );
        assert_eq!(
            error(vec![env(&[("BARRAGE__HTP__LISTEN", "x")])]),
            "the environment: unknown key `BARRAGE__HTP__LISTEN` (did you mean `http.listen`?)"
        );
        let file = Layer::toml("f", "qqqqqqqqqqqq=1").unwrap();
        assert_eq!(error(vec![file]), "f: unknown key `qqqqqqqqqqqq`");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_told_with_its_key() {
        let file = Layer::toml("f", "[http]\nport='x'").unwrap();
        assert_eq!(
            error(vec![file]),
            "f: `http.port` takes a whole number, not \"x\""
        );
        assert_eq!(
            error(vec![env(&[("BARRAGE__HTTP__STRICT", "yes")])]),
            "the environment: `BARRAGE__HTTP__STRICT` takes true or false, not \"yes\""
        );
        let large = error(vec![env(&[("BARRAGE__HTTP__PORT", "70000")])]);
        assert!(
            large.contains("`http.port`") && large.contains("70000"),
            "{large}"
        );
        assert!(error(vec![env(&[("BARRAGE__HTTP", "x")])]).contains("takes a section"));
    }

    #[test]
    fn lists_are_parted_by_commas_in_texts() {
        let config: Config =
            load(vec![env(&[("BARRAGE__HTTP__TRUSTED", "10.0.0.1, ::1")])]).unwrap();
        assert_eq!(config.http.trusted, ["10.0.0.1", "::1"]);
        let as_in_a_file = r#"["10.0.0.1", "::1"]"#;
        let config: Config = load(vec![env(&[("BARRAGE__HTTP__TRUSTED", as_in_a_file)])]).unwrap();
        assert_eq!(config.http.trusted, ["10.0.0.1", "::1"]);
        let broken: Result<Config, _> = load(vec![env(&[("BARRAGE__HTTP__TRUSTED", "[1")])]);
        assert!(broken.unwrap_err().to_string().contains("list"));
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        let error = Layer::toml("f.toml", "a = 1\nb = ")
            .expect_err("not TOML")
            .to_string();
        assert!(
            error.starts_with("f.toml is not valid TOML") && error.contains("line 2"),
            "{error}"
        );
    }
}
