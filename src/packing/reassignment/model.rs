//! What runs where it could run, what may not be, and what costs how much.

use thiserror::Error;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Model {
    pub resources: Vec<Resource>,
    pub machines: Vec<Machine>,
    pub services: Vec<Service>,
    pub processes: Vec<Process>,
    pub balances: Vec<Balance>,
    pub weights: MoveWeights,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resource {
    /// A process that moves holds it on the old machine and the new one.
    pub is_transient: bool,
    /// Cost of each unit in use above a machine's safe amount.
    pub load_weight: i64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    pub neighbourhood: usize,
    pub location: usize,
    /// By resource.
    pub capacity: Vec<i64>,
    /// By resource: what may be in use without cost.
    pub safe: Vec<i64>,
    /// By machine: the cost of moving a process from here to there.
    pub move_cost: Vec<i64>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Service {
    /// Distinct locations that its processes must cover.
    pub spread_min: usize,
    /// Services that must run in every neighbourhood where this one runs.
    pub needs: Vec<usize>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    pub service: usize,
    /// By resource.
    pub need: Vec<i64>,
    pub move_cost: i64,
}

/// For each unit that is free of one resource there should be `target` of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Balance {
    pub of: usize,
    pub against: usize,
    pub target: i64,
    pub weight: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MoveWeights {
    /// Of the sum of the moved processes' move costs.
    pub process: i64,
    /// Of the largest number of moved processes in one service.
    pub service: i64,
    /// Of the sum of the costs between machines.
    pub machine: i64,
}

#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ModelError {
    #[error("the text ends early or holds `{0}`, which is no number")]
    Number(String),
    #[error("{what} {number} names {refers} {index}, which does not exist")]
    Unknown {
        what: &'static str,
        number: usize,
        refers: &'static str,
        index: usize,
    },
}

impl Model {
    /// Reads the challenge's format: whitespace between integers, in the order of the fields.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let mut words = text.split_whitespace();
        let mut next = || {
            let word = words.next().unwrap_or_default();
            word.parse::<i64>()
                .map_err(|_error| ModelError::Number(word.to_owned()))
        };
        let model = Self::read(&mut next)?;
        model.validate()?;
        Ok(model)
    }

    fn read(next: &mut dyn FnMut() -> Result<i64, ModelError>) -> Result<Self, ModelError> {
        let mut model = Self::default();
        for _ in 0..next()? {
            model.resources.push(Resource {
                is_transient: next()? == 1,
                load_weight: next()?,
            });
        }
        let resources = model.resources.len();
        let machines = index(next()?);
        for _ in 0..machines {
            model.machines.push(Machine {
                neighbourhood: index(next()?),
                location: index(next()?),
                capacity: row(next, resources)?,
                safe: row(next, resources)?,
                move_cost: row(next, machines)?,
            });
        }
        for _ in 0..next()? {
            let spread_min = index(next()?);
            let count = index(next()?);
            let needs = row(next, count)?.into_iter().map(index).collect();
            model.services.push(Service { spread_min, needs });
        }
        for _ in 0..next()? {
            model.processes.push(Process {
                service: index(next()?),
                need: row(next, resources)?,
                move_cost: next()?,
            });
        }
        for _ in 0..next()? {
            model.balances.push(Balance {
                of: index(next()?),
                against: index(next()?),
                target: next()?,
                weight: next()?,
            });
        }
        model.weights = MoveWeights {
            process: next()?,
            service: next()?,
            machine: next()?,
        };
        Ok(model)
    }

    /// Every number that names something names something that exists.
    fn validate(&self) -> Result<(), ModelError> {
        let known = |what, number, refers, index, count| {
            if index < count {
                return Ok(());
            }
            Err(ModelError::Unknown {
                what,
                number,
                refers,
                index,
            })
        };
        for (number, service) in self.services.iter().enumerate() {
            for &needed in &service.needs {
                known("service", number, "service", needed, self.services.len())?;
            }
        }
        for (number, process) in self.processes.iter().enumerate() {
            known(
                "process",
                number,
                "service",
                process.service,
                self.services.len(),
            )?;
        }
        for (number, balance) in self.balances.iter().enumerate() {
            for resource in [balance.of, balance.against] {
                known(
                    "balance",
                    number,
                    "resource",
                    resource,
                    self.resources.len(),
                )?;
            }
        }
        Ok(())
    }
}

/// Negative numbers become an index that nothing has.
fn index(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn row(
    next: &mut dyn FnMut() -> Result<i64, ModelError>,
    count: usize,
) -> Result<Vec<i64>, ModelError> {
    (0..count).map(|_| next()).collect()
}
