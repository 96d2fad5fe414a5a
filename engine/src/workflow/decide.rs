//! The life of an order: it conducts, the other modules answer.

mod admission;
mod clock;
mod hedges;
mod legs;
mod preemption;
mod service;
mod stops;

use crate::command::Command as Any;
use crate::kernel::units::{OrderId, TenantId};
use crate::models::rows::{End, Order, Stage};
use crate::refusal::Refusal;
use crate::transaction::Transaction;
use crate::workflow::refusal::Refusal as Workflow;
use crate::workflow::words::{Command, Event};

pub(crate) use service::serve;

pub(crate) fn decide(tx: &mut Transaction, command: &Command) -> Result<(), Refusal> {
    match command {
        Command::Submit(demand) => admission::submit(tx, demand),
        Command::SubmitBatch { demands, whole } => admission::submit_batch(tx, demands, *whole),
        Command::Cancel { order } => {
            own(tx, *order)?;
            legs::end(tx, *order, End::Cancelled);
            Ok(())
        }
        Command::Retry { order } => {
            if own(tx, *order)?.stage != Stage::Backoff {
                return Err(Workflow::WrongStage.into());
            }
            legs::route_or_queue(tx, *order);
            Ok(())
        }
        Command::ReportLeg { order, attempt, leg, outcome } => {
            Ok(legs::report(tx, *order, *attempt, *leg, outcome)?)
        }
        Command::ReportStop { order, attempt, leg, usage } => {
            Ok(stops::report_stop(tx, *order, *attempt, *leg, usage)?)
        }
        Command::ReportFirstToken { order, attempt, leg } => {
            Ok(hedges::first_token(tx, *order, *attempt, *leg)?)
        }
        Command::Advance => {
            clock::advance(tx);
            Ok(())
        }
    }
}

/// Records that a command was refused. A refused submission is an order that ends there.
pub(crate) fn refuse(tx: &mut Transaction, command: &Any, refusal: Refusal) {
    let Any::Workflow(Command::Submit(demand)) = command else {
        return tx.emit(Event::CommandRefused { refusal });
    };
    admission::refuse(tx, demand, refusal);
}

/// A live order that the sender may dispose of; to anybody else it is unknown.
fn own<'a>(tx: &'a Transaction, id: OrderId) -> Result<&'a Order, Workflow> {
    let unknown = Workflow::Unknown { order: id.number() };
    let order = tx.state().order(id).ok_or(unknown.clone())?;
    let tenant = tx.stamp().source.tenant;
    if tenant == order.tenant || tenant == TenantId::NONE { Ok(order) } else { Err(unknown) }
}
