//! The simulated world, judged from outside: a toy exchange drives it and writes down what it says.

#[path = "world/drain.rs"]
mod drain;
#[path = "world/exchange.rs"]
mod exchange;
#[path = "world/faults.rs"]
mod faults;
#[path = "world/vessels.rs"]
mod vessels;
