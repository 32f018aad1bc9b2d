//! Calls of functions: which one, with what.

use sqlparser::ast::{
    DuplicateTreatment, Expr as Ast, Function as Call, FunctionArg, FunctionArgExpr, FunctionArguments,
};

use super::bind::{Binder, Clause};
use super::error::SqlError;
use super::expr::{AggregateCall, Expr};
use super::functions::{self, Aggregate, Described, Function, Scalar};
use super::grammar::cut;
use super::names::nearest;
use super::syntax::{number, wrong};

/// The arguments as they are written; `None` for `*`.
type Arguments<'a> = Vec<Option<&'a Ast>>;

impl Binder<'_> {
    /// Binds a call; `depth` is that of its arguments.
    pub(super) fn call(&mut self, ast: &Ast, call: &Call, depth: usize) -> Result<Expr, SqlError> {
        let name = match call.name.0.as_slice() {
            [part] => part.as_ident().map(|ident| ident.value.to_ascii_uppercase()),
            _ => None,
        };
        let Some(name) = name else { return wrong(ast, "a function has one name, without a dot") };
        if call.over.is_some() {
            return wrong(
                ast,
                "OVER is not possible; an aggregate is over all rows, or over the groups of GROUP BY",
            );
        }
        let (args, distinct) = arguments(ast, call)?;
        let Some(found) = functions::find(&name, args.len()) else {
            let known = functions::functions().iter().map(|f| f.name);
            let hint = nearest(&name, known)
                .map_or("docs/sql.md has the list".to_owned(), |near| format!("{near} was probably meant"));
            return wrong(ast, format!("there is no function {}; {hint}", cut(&name)));
        };
        let (least, most) = found.arguments;
        if args.len() < least || args.len() > most {
            let takes = if least == most { least.to_string() } else { format!("{least} or more") };
            return wrong(
                ast,
                format!(
                    "{name} takes {takes} argument(s) and has {}; for example {}",
                    args.len(),
                    found.example
                ),
            );
        }
        match found.function {
            Function::Aggregate(kind) => self.aggregate(ast, call, found, kind, &args, distinct, depth),
            Function::Scalar(_) if distinct || call.filter.is_some() => wrong(
                ast,
                format!("{name} is no aggregate, so DISTINCT and FILTER mean nothing here; leave them out"),
            ),
            Function::Scalar(function) => self.scalar(ast, function, &args, depth),
        }
    }

    fn scalar(
        &mut self,
        ast: &Ast,
        function: Scalar,
        args: &Arguments<'_>,
        depth: usize,
    ) -> Result<Expr, SqlError> {
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            match arg {
                Some(arg) => bound.push(self.bind(arg, depth)?),
                None => return wrong(ast, "* is an argument of COUNT only; name a column"),
            }
        }
        Ok(Expr::Call(function, bound.into()))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call has these parts, and a struct for them would be read here only"
    )]
    fn aggregate(
        &mut self,
        ast: &Ast,
        call: &Call,
        found: &Described,
        kind: Aggregate,
        args: &Arguments<'_>,
        distinct: bool,
        depth: usize,
    ) -> Result<Expr, SqlError> {
        let name = found.name;
        let clause = self.clause;
        match clause {
            Clause::Where => {
                return wrong(
                    ast,
                    format!(
                        "{name} is not possible in WHERE, which chooses single rows; use HAVING, or FILTER after an aggregate"
                    ),
                );
            }
            Clause::GroupBy => {
                return wrong(ast, format!("{name} is not possible in GROUP BY; group by columns"));
            }
            Clause::Aggregate => {
                return wrong(ast, format!("{name} is not possible inside of another aggregate; use one"));
            }
            _ => {}
        }
        if distinct
            && !matches!(
                kind,
                Aggregate::Count | Aggregate::Sum | Aggregate::Avg | Aggregate::Min | Aggregate::Max
            )
        {
            return wrong(ast, format!("DISTINCT is not possible in {name}; it is in COUNT, SUM and AVG"));
        }
        let mut kind = kind;
        let mut values = args.as_slice();
        let mut keep = 0;
        if matches!(kind, Aggregate::First | Aggregate::Random | Aggregate::Top) {
            keep = self.how_many(ast, found, values.first().copied().flatten())?;
            values = &values[1..];
        }
        if kind == Aggregate::Count {
            let rows = matches!(values, [] | [None]);
            if rows && distinct {
                return wrong(ast, "COUNT(DISTINCT *) is not possible; name a column");
            }
            if rows {
                (kind, values) = (Aggregate::CountRows, &[]);
            }
        }
        if matches!(kind, Aggregate::Variance | Aggregate::Stddev) && values.len() == 2 {
            return wrong(
                ast,
                format!(
                    "{name} takes a value, or the mean, variance and count of groups; for example {}",
                    found.example
                ),
            );
        }
        if distinct && values.len() != 1 {
            return wrong(ast, "DISTINCT is possible with one argument only");
        }
        self.clause = Clause::Aggregate;
        let mut bound = Vec::with_capacity(values.len());
        for value in values {
            match value {
                Some(value) => bound.push(self.bind(value, depth)?),
                None => return wrong(ast, "* is an argument of COUNT only; name a column"),
            }
        }
        let filter = call.filter.as_deref().map(|filter| self.bind(filter, depth)).transpose()?;
        self.clause = clause;
        let call = AggregateCall { kind, keep, args: bound.into(), distinct, filter };
        // The same aggregate twice, as in `SUM(a) / SUM(b), SUM(a)`, is computed once.
        let at = self.aggregates.iter().position(|known| *known == call).unwrap_or_else(|| {
            self.aggregates.push(call);
            self.aggregates.len() - 1
        });
        match u16::try_from(at) {
            Ok(at) => Ok(Expr::Aggregate(at)),
            Err(_) => wrong(ast, "too many aggregates; use fewer"),
        }
    }

    /// The `n` of `FIRST(n, x)`: said in the query, so that the size of the answer is known before it is installed.
    fn how_many(&self, ast: &Ast, found: &Described, arg: Option<&Ast>) -> Result<usize, SqlError> {
        let limit = if found.name == "TOP" { self.limits.elements / 2 } else { self.limits.elements };
        match arg.and_then(number) {
            Some(n) if n >= 1 && n <= limit as u64 => Ok(n as usize),
            _ => wrong(
                ast,
                format!(
                    "{} begins with how many to keep, a number from 1 to {limit}; for example {}",
                    found.name, found.example
                ),
            ),
        }
    }
}

/// The arguments of a call, and whether it says DISTINCT.
fn arguments<'a>(ast: &Ast, call: &'a Call) -> Result<(Arguments<'a>, bool), SqlError> {
    let unusual = call.uses_odbc_syntax
        || call.null_treatment.is_some()
        || !call.within_group.is_empty()
        || !matches!(call.parameters, FunctionArguments::None);
    let list = match &call.args {
        FunctionArguments::List(list) if !unusual => list,
        FunctionArguments::None if !unusual => return Ok((Vec::new(), false)),
        FunctionArguments::Subquery(_) => {
            return wrong(ast, "a SELECT inside of another is not possible; ask about one table");
        }
        _ => {
            return wrong(
                ast,
                "a call is a name and arguments in parentheses, and FILTER (WHERE …) after an aggregate",
            );
        }
    };
    if !list.clauses.is_empty() {
        return wrong(
            ast,
            "clauses inside of the parentheses are not possible; ORDER BY at the end of the query orders the rows for FIRST",
        );
    }
    let mut args = Vec::with_capacity(list.args.len());
    for arg in &list.args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(Some(expr)),
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => args.push(None),
            _ => return wrong(ast, "arguments have no names here; write their values in order"),
        }
    }
    Ok((args, matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct))))
}
