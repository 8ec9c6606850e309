# SPDX-License-Identifier: Apache-2.0
"""The composition root: the only place that reads settings and builds engine, ledger, rules, notary and tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Engine, create_engine

from audit.checkpoint import NoteSigner
from audit.floods import Floods
from audit.floods_telling import Refusals
from audit.transaction import Clock, Ledger, utc_now
from gateway import policy_keeping, signing
from gateway.disks import reserve_of
from gateway.embedded import EmbeddedDatabase
from gateway.instance import Instance
from gateway.oidc import Provider
from gateway.sign_in import Authenticator, LocalTokens
from gateway.sources import Sources
from gateway.standings import Standings
from governance.holds import holds_of
from khatim.settings import Settings
from policies.loading import PolicyBundle
from registry.erasure import Eraser
from registry.notary import Notary
from registry.signing.current import CurrentTrust
from registry.signing.office import Office, OfficeSigner
from registry.vault import Vault
from runners.agents import TokenIssuer


@dataclass(frozen=True)
class Urls:
    """The database as each of the three roles reaches it (libpq URLs)."""

    owner: str
    service: str
    sequencer: str


@dataclass(frozen=True)
class Parts:
    """Everything that a server process is made of."""

    settings: Settings
    instance: Instance
    engine: Engine
    ledger: Ledger
    rules: PolicyBundle
    office: Office
    notary: Notary
    issuer: TokenIssuer
    authenticator: Authenticator
    local_tokens: LocalTokens
    eraser: Eraser
    sources: Sources

    def under(self, rules: PolicyBundle) -> Parts:
        """Return the parts with other rules; the ledger, which is the same, asks them from now on."""
        self.ledger.judge_by(rules.access)
        self.authenticator.rules = rules.sign_in
        return replace(self, rules=rules, eraser=Eraser(self.vault, holds_of(rules)))

    @property
    def vault(self) -> Vault:
        """Where people's records are opened."""
        return self.eraser.vault


def urls_of(settings: Settings) -> Urls:
    """Return the configured URLs, or those of the embedded database."""
    given = settings.database
    if given.url and given.owner_url and given.sequencer_url:
        return Urls(given.owner_url, given.url, given.sequencer_url)
    embedded = embedded_of(settings)
    return Urls(*(embedded.url(f"khatim_{role}") for role in ("owner", "service", "sequencer")))


def embedded_of(settings: Settings) -> EmbeddedDatabase:
    """Return the embedded database of the data folder."""
    return EmbeddedDatabase(settings.data / "postgres")


def engine_for(url: str) -> Engine:
    """Return an engine for a libpq URL.

    It does not ask before each use whether a connection lives, which costs more than a read: after a restart of the
    database the first requests answer 503, which clients repeat, and the pool is new.
    """
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), pool_size=16, max_overflow=16)


def ledger_signer(settings: Settings, instance: Instance) -> NoteSigner:
    """Return the signer of the ledger's first epoch, whose key others pin; its name is the ledger's origin."""
    return instance.ledger_signer(settings.instance, 1)


def ledger_of(settings: Settings, engine: Engine, rules: PolicyBundle, clock: Clock = utc_now) -> Ledger:
    """Return the ledger's door: it knows the disks, and which refusals are told one by one."""
    floods = settings.floods
    room = {"room": floods.sources, "entries": floods.entries}
    return Ledger(
        engine,
        rules.access,
        entity=settings.entity,
        clock=clock,
        reserve=reserve_of(settings, engine),
        refusals=Refusals(floods.recorded, strangers=Floods(**room), suppressed=Floods(**room)),
    )


def build(settings: Settings, *, engine: Engine | None = None, clock: Clock = utc_now) -> Parts:
    """Build the parts of one server process."""
    instance = Instance(settings.data)
    instance.prepare()
    rules = policy_keeping.loaded(settings)
    engine = engine or engine_for(urls_of(settings).service)
    eraser = Eraser(instance.vault(settings.tombstones), holds_of(rules))
    ledger = ledger_of(settings, engine, rules, clock)
    office = signing.office_of(settings, instance, clock)
    issuer = TokenIssuer(instance.signing_key("tokens"), settings.instance)
    notary = Notary(
        instance=settings.instance,
        issuer=issuer.issuer,
        trust=CurrentTrust(lambda: office.record),
        signer_for=lambda identity: OfficeSigner(office, identity),
    )
    return Parts(
        settings=settings,
        instance=instance,
        engine=engine,
        ledger=ledger,
        rules=rules,
        office=office,
        notary=notary,
        issuer=issuer,
        authenticator=Authenticator(
            settings,
            ledger,
            issuer.key,
            clock,
            eraser.vault,
            Standings(ledger, notary),
            provider=Provider.of(settings.oidc, instance.secret("people")) if settings.oidc else None,
            rules=rules.sign_in,
        ),
        local_tokens=LocalTokens(issuer),
        eraser=eraser,
        sources=Sources(instance.secret("sources")),
    )
