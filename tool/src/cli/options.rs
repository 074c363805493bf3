//! The options of a calculator on the command line, with the names, values and texts of the
//! library's table: a new one needs no change here.

use std::marker::PhantomData;

use clap::builder::{PossibleValue, PossibleValuesParser, ValueParser};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use mlff_student::engine::{OPTIONS, Options, Row, Values};

/// Which options a command takes.
pub(super) trait Taken {
    /// Whether it takes this one.
    fn takes(row: &Row) -> bool;
}

/// Every option.
pub(super) struct All;

impl Taken for All {
    fn takes(_: &Row) -> bool {
        true
    }
}

/// Options that a command takes.
pub(super) struct CalculatorOptions<T> {
    /// Those that it does not take have their defaults.
    pub(super) options: Options,
    taken: PhantomData<T>,
}

impl<T: Taken> Args for CalculatorOptions<T> {
    fn augment_args(command: Command) -> Command {
        let rows = OPTIONS.iter().filter(|row| T::takes(row));
        command.args(rows.map(|row| {
            Arg::new(row.name)
                .long(row.name)
                .help(row.about)
                .default_value(row.get(&Options::default()))
                .value_name(row.name.to_uppercase())
                .value_parser(parser(row))
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Takes what the table takes.
fn parser(row: &'static Row) -> ValueParser {
    match row.values {
        Values::Choice { words, .. } => PossibleValuesParser::new(
            words.iter().map(|spellings| PossibleValue::new(spellings[0]).aliases(&spellings[1..])),
        )
        .into(),
        Values::Device | Values::Threads => ValueParser::new(move |text: &str| {
            let set = row.set(&mut Options::default(), text);
            set.map(|()| text.to_string()).map_err(|error| error.message().to_string())
        }),
    }
}

impl<T: Taken> FromArgMatches for CalculatorOptions<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found = Self { options: Options::default(), taken: PhantomData };
        found.update_from_arg_matches(matches)?;
        Ok(found)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for row in OPTIONS.iter().filter(|row| T::takes(row)) {
            let Some(value) = matches.get_one::<String>(row.name) else { continue };
            row.set(&mut self.options, value).map_err(|error| {
                clap::Error::raw(clap::error::ErrorKind::InvalidValue, format!("{error}\n"))
            })?;
        }
        Ok(())
    }
}
