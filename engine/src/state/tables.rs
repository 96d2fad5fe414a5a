//! The tables, declared once, by the module that each belongs to.

use crate::allocator::rows::Berth;
use crate::config::rows::Limits;
use crate::jobs::rows::{JOBS_MAX, Job};
use crate::kernel::table::{AnyTable, Only, Scratch, Table};
use crate::kernel::units::{
    BerthId, JobSlot, KeySlot, LengthSlot, ModelId, OrderSlot, PolicyVersion, PrefixSlot, RegionId,
    StopSlot, TenantId, TurnSlot, VesselId,
};
use crate::models::rows::{Load, Model, Order, Region, Tenant, Vessel};
use crate::policy::rows::{Policy, Sla, Stance};
use crate::queue::rows::{Flow, Line, Turn, Waiting};
use crate::resilience::rows::{Hedge, Outcomes};
use crate::routing::rows::Prefix;
use crate::telemetry::rows::{Account, Concern, Incident, Lengths, Reserve, Spending};
use crate::workflow::rows::{Control, RememberedKey, Stop};

/// Declares the tables, so that no list of them can leave one out.
macro_rules! tables {
    ($($(#[$doc:meta])* $number:literal $module:ident $field:ident: $key:ty => $row:ty,)*) => {
        /// Everything that is hashed.
        #[derive(Clone, Debug)]
        pub struct Tables {
            $($(#[$doc])* pub $field: Table<$key, $row>,)*
        }

        impl Tables {
            /// How many tables there are.
            pub const COUNT: usize = [$($number),*].len();

            pub(crate) fn new() -> Self {
                Self { $($field: Table::new($number, stringify!($module), stringify!($field)),)* }
            }

            /// Every table, in the order of their numbers.
            pub fn all(&self) -> [&dyn AnyTable; Self::COUNT] {
                [$(&self.$field),*]
            }

            pub(crate) fn by_number(&mut self, number: u8) -> Option<&mut dyn AnyTable> {
                match number {
                    $($number => Some(&mut self.$field),)*
                    _ => None,
                }
            }

            /// Settles a row of one table; by how much its digest has grown.
            pub(crate) fn settle(&mut self, number: u8, key: u32, scratch: &mut Scratch) -> u128 {
                match number {
                    $($number => self.$field.settle(key, scratch),)*
                    _ => 0,
                }
            }

            pub(crate) fn digests(&self) -> [u128; Self::COUNT] {
                [$(self.$field.digest()),*]
            }
        }
    };
}

tables! {
    /// What the exchange as a whole has counted.
    0 workflow control: Only => Control,
    /// The bounds of the exchange.
    1 config limits: Only => Limits,
    /// The level in force, and which policy is.
    2 policy stance: Only => Stance,
    /// Every version of the policy.
    3 policy policies: PolicyVersion => Policy,
    /// What the queue has counted.
    4 queue waiting: Only => Waiting,
    /// Contracts.
    5 models tenants: TenantId => Tenant,
    /// What tenants have used.
    6 telemetry accounts: TenantId => Account,
    /// Regions.
    7 models regions: RegionId => Region,
    /// Models.
    8 models models: ModelId => Model,
    /// Vessels, as far as they seldom change.
    9 models vessels: VesselId => Vessel,
    /// Vessels, as far as they change with every order.
    10 models loads: VesselId => Load,
    /// Live orders.
    11 models orders: OrderSlot => Order,
    /// Berths.
    12 allocator berths: BerthId => Berth,
    /// Idempotency keys.
    13 workflow keys: KeySlot => RememberedKey,
    /// Prefixes.
    14 routing prefixes: PrefixSlot => Prefix,
    /// The queues of the models that somebody waits for.
    15 queue lines: ModelId => Line,
    /// Who takes turns in them.
    16 queue turns: TurnSlot => Turn,
    /// What was routed lately.
    17 queue flow: Only => Flow,
    /// What became of calls lately, those of all vessels but for probes.
    18 resilience calls: Only => Outcomes,
    /// What tenants with a budget have spent.
    19 telemetry spending: TenantId => Spending,
    /// What is set aside for their orders.
    20 telemetry reserves: OrderSlot => Reserve,
    /// How long answers were.
    21 telemetry lengths: LengthSlot => Lengths,
    /// Legs that were told to stop, and have not answered.
    22 workflow stops: StopSlot => Stop,
    /// Orders whose last leg another vessel works as well.
    23 resilience hedges: OrderSlot => Hedge,
    /// What became of the orders of tenants that were promised something.
    24 policy sla: TenantId => Sla,
    /// Jobs that are live.
    25 jobs jobs: JobSlot => Job,
    /// What is wrong, or was.
    26 telemetry incidents: Concern => Incident,
}

impl Tables {
    /// Has every table take as many rows as there may be.
    pub(crate) fn bound_by(&mut self, limits: &Limits) {
        self.policies.bound(limits.policies);
        self.tenants.bound(limits.tenants);
        self.accounts.bound(limits.tenants);
        self.regions.bound(limits.regions);
        self.models.bound(limits.models);
        self.vessels.bound(limits.vessels);
        self.loads.bound(limits.vessels);
        self.orders.bound(limits.orders);
        self.berths.bound(limits.berths);
        self.keys.bound(limits.keys);
        self.prefixes.bound_scattered(limits.prefixes);
        self.lines.bound_scattered(limits.models);
        self.turns.bound(limits.orders);
        self.spending.bound_scattered(limits.tenants);
        self.reserves.bound_scattered(limits.orders);
        self.stops.bound(limits.orders);
        self.hedges.bound_scattered(limits.orders);
        self.sla.bound_scattered(limits.tenants);
        self.jobs.bound_scattered(JOBS_MAX);
        self.lengths.bound_scattered(Lengths::places(limits));
        self.incidents.bound_scattered(Concern::COUNT);
    }
}
