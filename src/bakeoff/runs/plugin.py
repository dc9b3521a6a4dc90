"""Where a network that is not bakeoff's own comes from, as a run's record and a bundle keep it."""

from bakeoff.runs.facts import Facts

__all__ = ["Plugin"]


class Plugin(Facts):
    """The origin of a plug-in network: code of the user, or of an installed package."""

    module: str
    """The module that it is imported from."""
    attribute: str
    """Its name in the module."""
    source: str
    """SHA-256 of the source of the module, and of the modules beside it that it imports."""
    package: str = ""
    """Name and version of the installed package that offers it; empty for a module that was named."""
    licence: str = "not stated"
    """Licence of its weights, if it names one."""
    from_scratch: bool = False
    """Whether it has no pretrained weights."""
    objects: tuple[str, ...] = ()
    """The layers and functions in it that are not Keras' own, as `module:name`: a saved model is opened with them."""

    @property
    def target(self) -> str:
        """As `--candidates` takes it: `module:attribute`."""
        return f"{self.module}:{self.attribute}"

    @property
    def object_names(self) -> str:
        """The layers and functions that are not Keras' own, for people."""
        return ", ".join(name.replace(":", ".") for name in self.objects)
