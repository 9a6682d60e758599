//! Which slots tell something of a kind.
//!
//! Most spans have none of the dozens of attributes that hold a fact, an id or a word. One comparison with
//! the slots that a span fills says so, and then nothing is looked for.

use crate::attributes::SlotSet;
use crate::facts::FactSlot;
use crate::keys::Slots;
use crate::provider::Provider;

/// Sets of slots, by what they tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Masks {
    /// Ids that the client chose.
    pub(crate) correlations: SlotSet,
    /// Status and error words.
    pub(crate) words: SlotSet,
    /// Quantities and dimensions, of any provider.
    pub(crate) facts: SlotSet,
    /// Those of them that few spans have.
    pub(crate) further: SlotSet,
    /// What makes a span that of a generation.
    pub(crate) generation: SlotSet,
    /// Everything that a frame keeps.
    pub(crate) frame: SlotSet,
}

impl Masks {
    /// `general` are the facts of any provider: those that are always looked for, and the further ones.
    pub(crate) fn new(slots: &Slots, general: [&[FactSlot]; 2], providers: &[Provider]) -> Self {
        let [facts, further] = general;
        let correlations = || slots.correlations.iter().map(|(slot, _)| *slot);
        let own_words = || providers.iter().flat_map(|provider| provider.word_slots.iter().copied());
        let words = || slots.words.iter().map(|(slot, _)| *slot).chain(own_words());
        let own = || providers.iter().flat_map(|provider| &provider.facts);
        let facts = || facts.iter().chain(own()).chain(further).map(FactSlot::slot);
        let generation =
            [slots.operation, slots.span_kind, slots.provider, slots.request_model, slots.conversation];
        let told = [slots.response_model, slots.output_type, slots.choices];
        let frame = generation.into_iter().chain(told).chain(slots.tasks.iter().copied());
        Self {
            correlations: correlations().collect(),
            words: words().collect(),
            facts: facts().collect(),
            further: further.iter().map(FactSlot::slot).collect(),
            generation: generation.into_iter().collect(),
            frame: frame.chain(correlations()).chain(words()).chain(facts()).collect(),
        }
    }
}
