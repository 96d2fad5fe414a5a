//! Batch orders that gather until they come to so much, or one of them may not wait any longer.

use super::*;

impl Model {
    /// Until when an order gathers at most that comes now; none where it goes by itself.
    pub(super) fn ripe_at(&self, demand: &Demand, deadline: u64) -> Decided<Option<u64>> {
        let rule = self.policy()?.1.gather;
        if rule.tokens.0 == 0 || demand.class != Class::Batch || demand.window.is_some() {
            return Ok(None);
        }
        let serve = |ship: &&Ship| {
            ship.status != VesselStatus::Retired && ship.manifest.models.contains(&demand.model)
        };
        let (mut prompt, mut answer) = (0, 0);
        for Ship { manifest, .. } in self.ships.values().filter(serve) {
            if manifest.role != Role::Decode {
                prompt = prompt.max(rules::prompt_time(manifest, demand.tokens_in.0));
            }
            if manifest.role != Role::Prefill {
                answer = answer.max(rules::answer_time(manifest, demand.tokens_out_max.0));
            }
        }
        let last = deadline.saturating_sub(2 * (prompt + answer));
        let at = last.min(self.now + rule.wait.0);
        Ok(Some(at).filter(|at| *at > self.now))
    }

    /// The same of an order that is about to wait: once it has waited, or was routed, it goes by itself.
    pub(super) fn gathers(&self, slot: u32) -> Decided<Option<u64>> {
        match self.orders.get(&slot).filter(|order| order.queued == 0 && order.attempt == 0) {
            Some(order) => self.ripe_at(&order.demand, order.deadline),
            None => Ok(None),
        }
    }

    /// Those who gather for a model.
    pub(super) fn gathering(&self, model: ModelId) -> impl Iterator<Item = &Live> {
        self.in_queue(model).filter(|order| order.gathering)
    }

    /// How many they are, what they come to, and when they go at the latest.
    pub(super) fn gathered(&self, model: ModelId) -> (u32, u64, u64) {
        let count = self.gathering(model).count() as u32;
        let tokens = self.gathering(model).map(|order| routes::size(&order.demand)).sum();
        let ripe = self.queues.get(&model).map_or(0, |queue| queue.ripe_at);
        (count, tokens, if count == 0 { u64::MAX } else { ripe })
    }

    /// One more has come to those who gather.
    pub(super) fn gathers_more(&mut self, slot: u32, at: u64) -> Decided<()> {
        let order = self.order(slot)?;
        (order.gathered, order.gathering) = (true, true);
        let model = order.demand.model;
        let alone = self.gathering(model).count() == 1;
        let queue = self.queues.entry(model).or_default();
        queue.ripe_at = if alone { at } else { queue.ripe_at.min(at) };
        Ok(())
    }

    /// They go once they are enough.
    pub(super) fn go_if_enough(&mut self, model: ModelId) -> Decided<()> {
        let (count, tokens, _) = self.gathered(model);
        if count > 0 && tokens >= self.policy()?.1.gather.tokens.0 {
            self.go(model)?;
        }
        Ok(())
    }

    /// They wait for room from now on. A class that nobody waited in so far has saved up nothing.
    pub(super) fn go(&mut self, model: ModelId) -> Decided<()> {
        let (orders, tokens, _) = self.gathered(model);
        let nobody = !self.waiting(model).any(|order| order.demand.class == Class::Batch);
        let ticket = self.tickets;
        let Some(queue) = self.queues.get_mut(&model) else { return wrong("nobody gathers") };
        if nobody {
            queue.classes[2] = queue.classes[2].max(queue.floor);
        }
        queue.released = ticket;
        let gone = self.orders.values_mut().filter(|order| order.demand.model == model);
        gone.for_each(|order| order.gathering = false);
        self.noted_models.insert(model);
        let tokens = Tokens(tokens);
        self.expect(queue::Event::BatchReleased { model, ticket, orders, tokens })
    }

    /// Whoever gathers under other rules may be enough by now, or is not to.
    pub(super) fn rules_changed(&mut self) -> Decided<()> {
        let models: Vec<ModelId> = self.queues.keys().copied().collect();
        models.into_iter().try_for_each(|model| self.go_if_enough(model))
    }

    /// Since when an order waits for room; while it gathers it waits for others.
    pub(super) fn waits_since(&self, order: &Live) -> Decided<u64> {
        let wait = self.policy()?.1.gather.wait.0;
        Ok(order.queued + if order.gathered { wait } else { 0 })
    }
}
