//! Attributes from a query of PostgreSQL.
//!
//! A connection for each reading, one statement in a transaction that may read only, and is rolled back. The server ends the statement itself when its
//! time is over. No TLS: the agent is on the host of the database, and asks over a local socket or the loopback interface. How large
//! the one row is that the server sends is the query's affair.

use std::{str::FromStr as _, time::Duration};

use tokio_postgres::{
    Client, Config, NoTls, Row,
    types::{FromSql, Type},
};

use super::{
    config, limits,
    poll::{Read, ReadError, Reading, Said},
};
use crate::value::Value;

/// A query of a database.
#[derive(Debug)]
pub(super) struct Source {
    config: config::Postgres,
}

/// Whether `connect` says where a database is.
pub(super) fn check(connect: &str) -> Result<(), String> {
    Config::from_str(connect).map(drop).map_err(|e| {
        format!(
            "connect is not understood ({}); write it as \"host=/run/postgresql user=monitor dbname=app\"",
            full(&e)
        )
    })
}

/// An error and what caused it. None of them shows the password.
fn full(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn failed(error: tokio_postgres::Error) -> ReadError {
    ReadError::Postgres(full(&error))
}

impl Source {
    pub(super) fn new(config: config::Postgres) -> Self {
        Self { config }
    }

    fn connection(&self) -> Result<Config, ReadError> {
        let mut connection = Config::from_str(&self.config.connect.0).map_err(failed)?;
        if let Some(path) = &self.config.password_file {
            // A small local file that whoever starts the agent vouches for.
            let password = super::file::read_all(path, limits::VALUE_BYTES)?;
            connection.password(password.trim_end_matches(['\r', '\n']));
        }
        let own = format!(
            "-c default_transaction_read_only=on -c statement_timeout={}",
            self.config.timeout.as_millis()
        );
        let options = connection.get_options().map_or(own.clone(), |theirs| format!("{theirs} {own}"));
        connection.options(options).connect_timeout(self.config.timeout.max(Duration::from_secs(1)));
        if connection.get_application_name().is_none() {
            connection.application_name("gcs-monitor");
        }
        Ok(connection)
    }

    async fn query(&self, client: &mut Client) -> Result<Vec<Value>, ReadError> {
        let transaction = client.build_transaction().read_only(true).start().await.map_err(failed)?;
        let statement = transaction.prepare(&self.config.query).await.map_err(failed)?;
        let (found, wanted) = (statement.columns().len(), self.config.attributes.len());
        if found != wanted {
            return Err(ReadError::Columns { found, wanted });
        }
        let portal = transaction.bind(&statement, &[]).await.map_err(failed)?;
        let rows = transaction.query_portal(&portal, 1).await.map_err(failed)?;
        match rows.first() {
            Some(row) => (0..wanted).map(|at| value(row, at)).collect(),
            None => Ok(vec![Value::Null; wanted]),
        }
    }
}

impl Read for Source {
    async fn read(&mut self) -> Reading {
        let (mut client, connection) = self.connection()?.connect(NoTls).await.map_err(failed)?;
        // Ends with this reading, whether it succeeds or is dropped.
        let mut work = tokio::task::JoinSet::new();
        work.spawn(connection);
        let values = self.query(&mut client).await?;
        let names = self.config.attributes.iter().cloned();
        Ok((names.zip(values).map(|(name, value)| Said::new(name, value)).collect(), None))
    }
}

fn value(row: &Row, at: usize) -> Result<Value, ReadError> {
    let found: Option<Sql> = row.try_get(at).map_err(|e| {
        let (column, kind) = row.columns().get(at).map_or(("", ""), |c| (c.name(), c.type_().name()));
        ReadError::Postgres(format!(
            "the column {column} is {kind} ({e}); cast it to text, bigint or double precision"
        ))
    })?;
    Ok(found.map_or(Value::Null, |Sql(value)| value))
}

/// A value of one of the types that are taken.
struct Sql(Value);

impl<'a> FromSql<'a> for Sql {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(match *kind {
            Type::BOOL => Value::truth(bool::from_sql(kind, raw)?),
            Type::INT2 => Value::Int(i16::from_sql(kind, raw)?.into()),
            Type::INT4 => Value::Int(i32::from_sql(kind, raw)?.into()),
            Type::INT8 => Value::Int(i64::from_sql(kind, raw)?),
            Type::OID => Value::Int(u32::from_sql(kind, raw)?.into()),
            Type::FLOAT4 => Value::float(f32::from_sql(kind, raw)?.into()),
            Type::FLOAT8 => Value::float(f64::from_sql(kind, raw)?),
            Type::NUMERIC => Value::float(numeric(raw).ok_or("it is malformed")?),
            _ => Value::text(<&str>::from_sql(kind, raw)?),
        }))
    }

    fn accepts(kind: &Type) -> bool {
        let numbers = [
            Type::BOOL,
            Type::INT2,
            Type::INT4,
            Type::INT8,
            Type::OID,
            Type::FLOAT4,
            Type::FLOAT8,
            Type::NUMERIC,
        ];
        numbers.contains(kind) || <&str as FromSql>::accepts(kind)
    }
}

/// The nearest number to a `numeric` as the server sends it: how many digits of base 10,000 there are, the weight of the first one,
/// the sign, the scale, and the digits.
fn numeric(raw: &[u8]) -> Option<f64> {
    let words: Vec<u16> = raw.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let [count, weight, sign, _scale, digits @ ..] = words.as_slice() else { return None };
    if digits.len() != usize::from(*count) || digits.iter().any(|digit| *digit > 9_999) {
        return None;
    }
    let weight = i32::from(weight.cast_signed());
    let power = |at: usize| 4 * (weight - i32::try_from(at).unwrap_or(i32::MAX));
    match *sign {
        0x0000 | 0x4000 => {
            // Decimal text is rounded once, to the nearest; adding up would round with every digit.
            let text: String = digits.iter().map(|digit| format!("{digit:04}")).collect();
            let size: f64 = format!("0{text}e{}", power(digits.len().max(1) - 1)).parse().ok()?;
            Some(if *sign == 0 { size } else { -size })
        }
        0xc000 => Some(f64::NAN),
        0xd000 => Some(f64::INFINITY),
        0xf000 => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(weight: i16, sign: u16, digits: &[u16]) -> Vec<u8> {
        let head = [digits.len() as u16, weight.cast_unsigned(), sign, 0];
        head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn decimal_numbers_are_the_nearest_there_are() {
        assert_eq!(numeric(&sent(0, 0, &[12, 5_000])), Some(12.5));
        assert_eq!(numeric(&sent(1, 0x4000, &[1, 2_345])), Some(-12_345.0));
        assert_eq!(numeric(&sent(-1, 0, &[1_000])), Some(0.1));
        assert_eq!(numeric(&sent(2, 0, &[1])), Some(100_000_000.0));
        assert_eq!(numeric(&sent(0, 0, &[])), Some(0.0));
        assert!(numeric(&sent(0, 0xc000, &[])).is_some_and(f64::is_nan));
        assert_eq!(numeric(&sent(0, 0, &[10_000])), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_number_or_not(raw in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = numeric(&raw);
        }
    }
}
