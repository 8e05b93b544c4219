"""A compiled environment document: evaluates identities, and encodes the responses of the SDK API."""

from collections.abc import Collection
from functools import cached_property

from realtime.evaluation.document import EnvironmentDocument, IdentityOverrides, hides_disabled_flags
from realtime.evaluation.encoding import FlagEncoder, encode, encode_traits
from realtime.evaluation.evaluator import Evaluator, Flag
from realtime.evaluation.identity import Identity
from realtime.evaluation.stored_fields import StoredFields

NO_STORED_FIELDS = StoredFields()

IdentityParts = list[bytes | str]
"""The flags of an identity in their order: encoded flags of the environment, joined by commas, and between them the
names of features that are evaluated for each identity."""


class CompiledEnvironment:
    """One document, with its evaluator and cached JSON, which are created when they are first needed.

    Threads share it. The document must not be changed afterwards. ``server_side`` is the kind of key: a client-side key
    does not get flags of the features in ``server_key_only_feature_ids``.
    """

    def __init__(
        self,
        document: EnvironmentDocument,
        *,
        identity_overrides: Collection[IdentityOverrides] | None = None,
        stored_fields: StoredFields = NO_STORED_FIELDS,
        shows_disabled_to_server_keys: bool = False,
    ) -> None:
        """``identity_overrides``: None for those of the document.

        ``shows_disabled_to_server_keys``: server-side keys get disabled flags even if the project hides them.
        """
        self.document = document
        self._identity_overrides = (
            document.get("identity_overrides", []) if identity_overrides is None else identity_overrides
        )
        self._encoder = FlagEncoder(document, stored_fields)
        hides_disabled = hides_disabled_flags(document)
        self._hides_disabled = {False: hides_disabled, True: hides_disabled and not shows_disabled_to_server_keys}
        """By ``server_side``."""

        self._server_side_ids = frozenset(document["project"].get("server_key_only_feature_ids", ()))
        self._identity_parts: dict[bool, IdentityParts] = {}
        """By ``server_side``."""

    @cached_property
    def evaluator(self) -> Evaluator:
        return Evaluator(self.document, self._identity_overrides)

    @property
    def depends_on_key(self) -> bool:
        """The flags depend on the kind of key."""
        return bool(self._server_side_ids) or self._hides_disabled[False] != self._hides_disabled[True]

    def environment_document(self) -> bytes:
        """The body of ``environment-document/``."""
        return encode(self.document).encode()

    def flags(self, server_side: bool) -> bytes:
        """The body of ``flags/``."""
        flags = self.evaluator.environment_flags.values()
        return encode([self._encoder.flag(flag) for flag in self._visible(flags, server_side)]).encode()

    def flag(self, name: str, server_side: bool) -> bytes | None:
        """One flag of the environment. None: there is no flag of this name for this kind of key."""
        found = self._named(self.evaluator.environment_flags.values(), name, server_side)
        return None if found is None else encode(self._encoder.flag(found)).encode()

    def identity(self, identity: Identity, server_side: bool) -> bytes:
        """The body of ``identities/``: the identity with its flags and traits."""
        hides_traits = self.document.get("hide_sensitive_data")
        traits = encode_traits(() if hides_traits else identity.traits.values())
        head = f'{{"identifier":{encode(identity.identifier)},"traits":{traits},"flags":['
        return b"%b%b]}" % (head.encode(), b",".join(self._encoded_flags(identity, server_side)))

    def identity_flag(self, identity: Identity, name: str, server_side: bool) -> bytes | None:
        """One flag of an identity. None: there is no flag of this name for this kind of key."""
        found = self._named(self.evaluator.identity_flags(identity), name, server_side)
        return None if found is None else self._encoder.identity_flag(found)

    def identity_flags(self, identity: Identity, server_side: bool) -> list[Flag]:
        """An identity's flags."""
        return self._visible(self.evaluator.identity_flags(identity), server_side)

    def _encoded_flags(self, identity: Identity, server_side: bool) -> list[bytes]:
        varying = self.evaluator.varying_flags(identity)
        encode_flag = self._encoder.identity_flag
        if varying.keys() != self.evaluator.varying_names:
            environment_flags = self.evaluator.environment_flags.items()
            flags = [varying.get(name, flag) for name, flag in environment_flags]
            return [encode_flag(flag) for flag in self._visible(flags, server_side)]
        hides_disabled = self._hides_disabled[server_side]
        encoded: list[bytes] = []
        for part in self._parts(server_side):
            if isinstance(part, bytes):
                encoded.append(part)
            elif (flag := varying[part]).state.enabled or not hides_disabled:
                encoded.append(encode_flag(flag))
        return encoded

    def _parts(self, server_side: bool) -> IdentityParts:
        parts = self._identity_parts.get(server_side)
        if parts is None:
            parts = self._identity_parts[server_side] = self._make_parts(server_side)
        return parts

    def _make_parts(self, server_side: bool) -> IdentityParts:
        parts: IdentityParts = []
        joined: list[bytes] = []
        varying = self.evaluator.varying_names
        for name, flag in self.evaluator.environment_flags.items():
            if name not in varying:
                joined += [self._encoder.identity_flag(flag) for flag in self._visible([flag], server_side)]
            elif server_side or not self._is_server_side(flag):
                parts += [b",".join(joined), name] if joined else [name]
                joined = []
        return [*parts, b",".join(joined)] if joined else parts

    def _named(self, flags: Collection[Flag], name: str, server_side: bool) -> Flag | None:
        return next((flag for flag in self._visible(flags, server_side) if flag.state.feature["name"] == name), None)

    def _visible(self, flags: Collection[Flag], server_side: bool) -> list[Flag]:
        """Leave out disabled flags if the environment hides them, and server-side flags for a client-side key."""
        hides_disabled = self._hides_disabled[server_side]
        return [
            flag
            for flag in flags
            if (flag.state.enabled or not hides_disabled) and (server_side or not self._is_server_side(flag))
        ]

    def _is_server_side(self, flag: Flag) -> bool:
        return flag.state.feature["id"] in self._server_side_ids
