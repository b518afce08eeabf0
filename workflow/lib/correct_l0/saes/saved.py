"""A trained SAE in its folder, in SAELens' inference format; sparsify's is read too.

SAELens reads the same folder with `SAE.load_from_disk`, but takes seconds to import.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from correct_l0.errors import InputError
from correct_l0.provenance.checks import check_manifest
from correct_l0.provenance.manifest import read_manifest, replacing, write_json
from correct_l0.saes.sparsify import is_sparsify_folder, read_sparsify_sae

if TYPE_CHECKING:
    from jaxtyping import Float, Int

DECODER = "decoder"
"""The form of an SAE whose codes are computed otherwise than here: its decoder alone is used."""
FORMS = ("jumprelu", "topk", "abstopk", DECODER)
REQUIRED = {
    "normalize_activations": "none",
    "reshape_activations": "none",
}

WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec")
OF_DECODER = ("W_dec", "b_dec")


@dataclass(frozen=True)
class SavedSae:
    """An inference SAE that takes raw activations.

    Attributes
    ----------
    W_enc, b_enc, threshold
        Encoder of shape (d_in, d_sae), bias and threshold of shape (d_sae,); a form with `k` has
        no thresholds, they are zero.
    W_dec, b_dec
        Decoder of shape (d_sae, d_in), bias of shape (d_in,), in units of the raw activations.
    apply_b_dec_to_input
        Whether `b_dec` is subtracted from the input before encoding.
    form
        What is kept of the pre-activations: `jumprelu` those above the threshold, `topk` of each
        token the k largest where positive, `abstopk` the k largest in size with their signs. Of
        `decoder` codes are not computed, and its encoder is the decoder turned round.
    k
        For `topk` and `abstopk`.
    """

    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_in"]
    b_dec: Float[Tensor, " d_in"]
    threshold: Float[Tensor, " d_sae"]
    apply_b_dec_to_input: bool = True
    form: str = "jumprelu"
    k: int | None = None

    @property
    def d_in(self) -> int:
        """Width of the activations."""
        return self.W_dec.shape[1]

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return self.W_dec.shape[0]

    def to(self, device: str) -> SavedSae:
        """Return the same SAE on another device."""
        moved: dict[str, Any] = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in vars(self).items()
        }
        return SavedSae(**moved)

    def encode(
        self, x: Float[Tensor, "batch d_in"], columns: Int[Tensor, " latents"] | None = None
    ) -> Float[Tensor, "batch latents"]:
        """Return latent activations, of all latents or of some.

        Parameters
        ----------
        x
            Raw activations.
        columns
            Latents to compute, in the order wanted; all by default.

        Raises
        ------
        InputError
            If the decoder alone is known.

        References
        ----------
        Rajamanoharan et al., arXiv 2407.14435, equation 2: JumpReLU(z) = z H(z - threshold),
        here with SAELens' ReLU on z, which matters only for a negative threshold. Gao et al.,
        arXiv 2406.04093: TopK. arXiv 2510.00404: AbsTopK.

        Examples
        --------
        Pre-activations 3 and 1 against thresholds of 2:

        >>> one = torch.eye(2)
        >>> sae = SavedSae(one, torch.zeros(2), one, torch.zeros(2), torch.full((2,), 2.0))
        >>> sae.encode(torch.tensor([[3.0, 1.0]]))
        tensor([[3., 0.]])
        """
        if self.form == DECODER:
            raise InputError(
                "codes of this SAE are not computed here, only its decoder is known; leave out "
                "what needs them"
            )
        W_enc, b_enc, threshold = self.W_enc, self.b_enc, self.threshold
        if columns is not None and self.k is None:
            W_enc, b_enc, threshold = W_enc[:, columns], b_enc[columns], threshold[columns]
        x = x.to(W_enc.dtype) - self.b_dec * self.apply_b_dec_to_input
        pre_acts = x @ W_enc + b_enc
        if self.k is not None:
            acts = self._largest(pre_acts)
            return acts if columns is None else acts[:, columns]
        return torch.relu(pre_acts) * (pre_acts > threshold)

    def _largest(self, pre_acts: Float[Tensor, "batch d_sae"]) -> Float[Tensor, "batch d_sae"]:
        """Return the k values of each token that are kept, zero elsewhere."""
        assert self.k is not None
        size = pre_acts.abs() if self.form == "abstopk" else pre_acts
        places = size.topk(self.k, dim=-1, sorted=False).indices
        kept = torch.zeros_like(pre_acts).scatter_(-1, places, pre_acts.gather(-1, places))
        return kept if self.form == "abstopk" else kept.relu_()

    def decode(self, acts: Float[Tensor, "batch d_sae"]) -> Float[Tensor, "batch d_in"]:
        """Return the reconstruction of raw activations from latent activations."""
        return acts @ self.W_dec + self.b_dec


def write_saved_sae(folder: Path | str, sae: SavedSae, metadata: Mapping[str, Any]) -> list[Path]:
    """Write an inference SAE as SAELens writes one of the CPU, keys in order; return the files.

    Parameters
    ----------
    folder
        Where `cfg.json` and `sae_weights.safetensors` go.
    sae
        The SAE.
    metadata
        What SAELens' `cfg.metadata` shall hold.
    """
    cfg, weights = Path(folder) / "cfg.json", Path(folder) / "sae_weights.safetensors"
    content = {
        **REQUIRED,
        "architecture": sae.form,
        **({} if sae.k is None else {"k": sae.k, "rescale_acts_by_decoder_norm": False}),
        "apply_b_dec_to_input": sae.apply_b_dec_to_input,
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "device": "cpu",
        "dtype": str(sae.W_dec.dtype).removeprefix("torch."),
        "metadata": metadata,
    }
    write_json(cfg, _sorted(content))
    # Put in order where they lie: turning an encoder round takes a CPU as long as writing it.
    tensors = {name: getattr(sae, name).contiguous().cpu() for name in names_of(sae.form)}
    with replacing(weights) as path:
        save_file(tensors, path)
        # safetensors makes files that only their owner can read.
        path.chmod(0o644)
    return [cfg, weights]


def decoder_only(W_dec: Tensor, b_dec: Tensor) -> SavedSae:
    """Return an SAE of which the decoder alone is known; see `SavedSae.form`.

    Parameters
    ----------
    W_dec, b_dec
        Decoder of shape (d_sae, d_in), bias of shape (d_in,).
    """
    zero = W_dec.new_zeros(len(W_dec))
    return SavedSae(W_dec.T, zero, W_dec, b_dec, zero, form=DECODER)


def names_of(form: str) -> tuple[str, ...]:
    """Return the tensors that are kept of an SAE of some form."""
    if form == DECODER:
        return OF_DECODER
    return (*WEIGHTS, "threshold") if form == "jumprelu" else WEIGHTS


def add_metadata(folder: Path | str, more: Mapping[str, Any]) -> None:
    """Add to what a saved SAE tells of itself (SAELens' `cfg.metadata`); its weights stay."""
    cfg = Path(folder) / "cfg.json"
    content = json.loads(cfg.read_text())
    content["metadata"] |= more
    write_json(cfg, _sorted(content))


def _sorted(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON with the keys of every level in order."""
    ordered: dict[str, Any] = json.loads(json.dumps(content, sort_keys=True))
    return ordered


def load_saved_sae(folder: Path | str, device: str = "cpu") -> SavedSae:
    """Return the SAE saved in a folder by SAELens, or a TopK SAE saved by sparsify.

    Raises
    ------
    InputError
        If a file is missing or damaged, or the SAE is not an inference SAE on raw activations of a
        known form: a BatchTopK SAE in training form gives codes that depend on the batch.
    """
    folder = Path(folder)
    if is_sparsify_folder(folder):
        return SavedSae(**read_sparsify_sae(folder, device))
    try:
        settings = json.loads((folder / "cfg.json").read_text())
        weights = load_file(folder / "sae_weights.safetensors", device=device)
    except FileNotFoundError as error:
        raise InputError(f"{error.filename or folder}: missing; train this SAE again") from None
    except (ValueError, SafetensorError) as error:
        raise InputError(f"{folder}: damaged SAE ({error}); train it again") from None
    form = settings.get("architecture")
    if form not in FORMS:
        raise InputError(
            f"{folder}: architecture is {form!r}, not one of {', '.join(FORMS)}; "
            "save the SAE in its inference form"
        )
    for key, wanted in REQUIRED.items():
        if settings.get(key, "none") != wanted:
            raise InputError(
                f"{folder}: {key} is {settings.get(key)!r}, not {wanted!r}; "
                "save the SAE in its inference form"
            )
    dtype = getattr(torch, str(settings["dtype"]).removeprefix("torch."))
    k = int(settings.get("k", 0)) if "topk" in form else None
    if k is not None and k < 1:
        raise InputError(f"{folder}: {form} without a k, at least 1; save the SAE again")
    if missing := [name for name in names_of(form) if name not in weights]:
        raise InputError(f"{folder}: no {', '.join(missing)} among the weights; train it again")
    if form == DECODER:
        return decoder_only(weights["W_dec"].to(dtype), weights["b_dec"].to(dtype))
    if k is not None and settings.get("rescale_acts_by_decoder_norm"):
        raise InputError(
            f"{folder}: the decoder's norms are not folded into the encoder, as "
            "rescale_acts_by_decoder_norm says; save the SAE in its inference form"
        )
    weights.setdefault("threshold", torch.zeros_like(weights["b_enc"]))
    return SavedSae(
        **{name: weights[name].to(dtype) for name in (*WEIGHTS, "threshold")},
        apply_b_dec_to_input=bool(settings.get("apply_b_dec_to_input", True)),
        form=form,
        k=k,
    )


def open_trained_sae(
    manifest_path: Path | str, device: str = "cpu"
) -> tuple[SavedSae, Mapping[str, Any]]:
    """Return a point's SAE and its manifest, after holding the files against the manifest.

    Raises
    ------
    InputError
        If the manifest is not one of `train_sae`, a file disagrees with it, or the SAE cannot be
        used (see `load_saved_sae`).
    """
    facts = read_manifest(manifest_path)
    check_manifest(
        manifest_path,
        stage="train_sae",
        recipe=facts.get("recipe", 0),
        parameters=str(facts.get("parameters")),
        inputs=facts.get("inputs") or {},
    )
    return load_saved_sae(Path(manifest_path).parent / "sae", device), facts
