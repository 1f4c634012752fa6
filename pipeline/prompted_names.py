"""What stands between learnt vectors for each class: its bare name, or sentences whose features are averaged."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from vlp.pipeline.class_texts import averaging, class_sentences, classes_of
from vlp.pipeline.text_tower import PromptableTextTower


class PromptedNames(nn.Module):
    """Texts of C classes as tokens; called, it turns features of the texts into features of the classes.

    Args:
        tower: tokenises and encodes them.
        class_names: C names as the dataset spells them.
        rule: that turns a name into words.
        text_prompts: a file of sentences in place of the bare names, or the name of shipped ones; None for none.
        num_prefix: k1, learnt vectors before a text.
        num_suffix: k2, those behind it.
        full_stop: end every text with one.

    Attributes:
        tokens: of the P texts, all of a class together; P = C without sentences.
        truncated: class names, as given, of which a text was cut to leave room for the vectors.

    Raises:
        ValueError: if no position is left for a text, or there is no class.
        DatasetError: if the sentences cannot be read, or lack a class.
    """

    _means: Tensor | None

    def __init__(
        self,
        tower: PromptableTextTower,
        class_names: Sequence[str],
        *,
        rule: str,
        text_prompts: str | None,
        num_prefix: int,
        num_suffix: int,
        full_stop: bool = False,
    ) -> None:
        super().__init__()
        by_class = class_sentences(class_names, rule=rule, template_set="none", text_prompts=text_prompts)
        counts = [len(found) for found in by_class]
        texts = [text for found in by_class for text in found]
        if full_stop:
            texts = [f"{text.removesuffix('.')}." for text in texts]
        self.tokens = tower.tokens(texts, num_prefix=num_prefix, num_suffix=num_suffix)
        self.truncated = tuple(class_names[index] for index in classes_of(self.tokens.truncated, counts))
        means = None if text_prompts is None else averaging(counts).to(tower.device)
        self.register_buffer("_means", means, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Give (…, C, D) features of the classes from (…, P, D) of the texts.

        Those of bare names are given as they are; of several sentences, the mean of the unit features.
        """
        return features if self._means is None else self._means @ F.normalize(features.float(), dim=-1)
