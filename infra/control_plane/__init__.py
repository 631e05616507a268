"""The control plane: every command that can be asked for, and every page that can be seen."""

from infra.control_plane.caller import Caller
from infra.control_plane.control_plane import ControlPlane

__all__ = ["Caller", "ControlPlane"]
