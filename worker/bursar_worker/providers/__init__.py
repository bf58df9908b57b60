"""Models by name: ``local:…`` runs here, everything else at a provider of pydantic-ai."""

from functools import lru_cache

from bursar.errors import ModelError
from bursar.models import Model
from bursar.settings import WorkerSettings
from bursar_worker.providers.local import local_model

__all__ = ["resolve"]


def resolve(model: str | Model, settings: WorkerSettings) -> Model:
    """Return the model object for a name; an object is returned as it is.

    The same name gives the same object, so that connections to a provider are shared.

    Raises:
        ModelError: ``model_unknown`` for a name that no provider has, ``provider_missing`` if its
            package is not installed, ``provider_unconfigured`` if its key is not set.

    """
    if not isinstance(model, str):
        return model
    return _build(model, settings.model_timeout_s)


# Names reach this from sessions too, so the number kept is bounded.
@lru_cache(maxsize=256)
def _build(name: str, timeout_s: float) -> Model:
    provider, separator, rest = name.partition(":")
    if not separator or not provider or not rest:
        raise ModelError(
            f"model {name!r} has no provider, expected a name such as 'openai:gpt-5-mini'",
            code="model_unknown",
            model=name,
        )
    if provider == "local":
        return local_model(name, rest)
    try:
        # pydantic-ai and a provider's SDK take a second and 100 MB; local workers never pay it.
        from bursar_worker.providers.direct import DirectModel
    except ImportError as error:
        raise ModelError(
            f"model {name!r} needs another package: pip install 'bursar[providers]' ({error})",
            code="provider_missing",
            model=name,
        ) from error
    return DirectModel(name, timeout_s=timeout_s)
