# SPDX-License-Identifier: Apache-2.0
"""The queries of the populations, as an auditor may run them again.

Each takes the same named values: ``:refs`` (the scope of the manifest), ``:namespace`` of the subject, ``:size`` of
the ledger, and where asked ``:policy`` with ``:rules`` (digest and transfer rules of the policy bundle).  Each selects
from the ledger below that size, joins the row that an entry speaks about, and begins with the entry's index, time and
actor.
"""

from __future__ import annotations

# An escaped NUL is good JSON that PostgreSQL cannot turn into text (as in `audit.ledger_tables`).
SAID = r"""WITH said AS (
  SELECT e."index" AS ledger_index, e."at", e.actor, e.kind, e.resource, e.namespace, e.zone,
         coalesce(body.event -> 'payload', aside.payload) AS payload, encode(e.leaf, 'hex') AS leaf
  FROM ledger_entries e
  CROSS JOIN LATERAL (
    SELECT replace(convert_from(e.entry, 'UTF8'), '\u0000', '\ufffd')::jsonb -> 'event' AS event
  ) body
  LEFT JOIN LATERAL (
    SELECT replace(convert_from(p.body, 'UTF8'), '\u0000', '\ufffd')::jsonb AS payload
    FROM ledger_payloads p WHERE p.digest = body.event ->> 'payload_digest'
  ) aside ON true
  WHERE e."index" < :size
)
"""

APPROVALS = """SELECT s.ledger_index, s."at", s.actor, s.resource, s.zone, a.role, a.meaning, a.comment, a.expires_at,
       a.state, a.state_because, a.binding, t.digest AS statement, a.id
FROM said s
JOIN approvals a ON a.statement_id::text = s.payload ->> 'statement'
JOIN statements t ON t.id = a.statement_id
WHERE s.kind = 'approval.granted' AND s.resource = ANY(:refs)
ORDER BY s.ledger_index"""

AUTHORISATIONS = """SELECT s.ledger_index, s."at", s.actor, s.resource, s.zone, a.datasets, a.purpose, a.code_digest,
       a.budget_runs, a.runs_used, a.ends_at, a.state, a.approved_by, a.because
FROM said s
JOIN training_authorisations a ON s.resource = 'authorisation:' || a.namespace || '/' || a.id
WHERE s.kind = 'authorisation.requested' AND s.resource = ANY(:refs)
ORDER BY s.ledger_index"""

DATASETS = """SELECT s.ledger_index, s."at", s.actor, s.resource, s.zone, d.tags, d.digest, d.source_digest,
       d.quarantine_digest, s.payload ->> 'rows' AS accepted_rows, s.payload ->> 'quarantined' AS quarantined_rows,
       d.registered_by
FROM said s
JOIN dataset_versions d ON s.resource = 'dataset:' || d.namespace || '/' || d.name || '@' || d.number
WHERE s.kind = 'dataset.registered' AND s.resource = ANY(:refs)
ORDER BY s.ledger_index"""

DEPLOYMENTS = """SELECT s.ledger_index, s."at", s.actor, s.resource, s.zone, d.version_ref, d.state, d.because,
       d.endpoint, d.agent, d.finding_id, d.changed_at, s.payload ->> 'rule' AS rule, s.payload ->> 'policy' AS policy
FROM said s
JOIN deployments d ON s.resource = 'deployment:' || d.namespace || '/' || d.id
WHERE s.kind = 'deployment.requested' AND s.payload ->> 'subject' = ANY(:refs)
ORDER BY s.ledger_index"""

EVENTS = """SELECT s.ledger_index, s."at", s.actor, s.kind, s.resource, s.namespace, s.zone, s.leaf
FROM said s
WHERE s.resource = ANY(:refs)
ORDER BY s.ledger_index"""

EVIDENCE = """SELECT s.ledger_index, s."at", s.actor, s.resource, s.zone, v.kind AS evidence_kind, v.result, v.digest,
       t.digest AS statement, v.id
FROM said s
JOIN evidence v ON v.about = s.resource AND v.statement_id::text = s.payload ->> 'statement'
  AND v.kind = s.payload ->> 'evidence_kind'
JOIN statements t ON t.id = v.statement_id
WHERE s.kind = 'evidence.submitted' AND s.resource = ANY(:refs)
ORDER BY s.ledger_index"""

EXPORTS = """SELECT s.ledger_index, s."at", s.actor, s.resource, s.payload ->> 'subject' AS subject,
       s.payload ->> 'manifest' AS manifest, s.payload ->> 'tree_size' AS tree_size
FROM said s
WHERE s.kind = 'engagement.exported' AND s.payload ->> 'subject' = ANY(:refs)
ORDER BY s.ledger_index"""

FEATURES = """SELECT s.ledger_index, s."at", s.actor, s.resource, s.zone, f.tags, f.digest, f.dataset_ref,
       f.schema_digest, f.rows AS feature_rows, f.registered_by
FROM said s
JOIN feature_view_versions f ON s.resource = 'features:' || f.namespace || '/' || f.name || '@' || f.number
WHERE s.kind = 'features.registered' AND s.resource = ANY(:refs)
ORDER BY s.ledger_index"""

FINDINGS = """SELECT s.ledger_index, s."at", s.actor, s.resource, s.zone, f.number, f.about, f.kind AS finding_kind,
       f.severity, f.summary, f.consequence, s.payload ->> 'rule' AS rule, f.state, f.resolved_by, f.resolved_because
FROM said s
JOIN findings f ON s.resource = 'finding:' || f.id
WHERE s.kind = 'finding.opened' AND s.payload ->> 'subject' = ANY(:refs)
ORDER BY s.ledger_index"""

GATES = """SELECT s.ledger_index, s."at", s.actor, s.kind, s.resource, s.zone,
       coalesce(s.payload ->> 'gate', s.payload #>> '{members,transition}') AS gate,
       s.kind = 'version.promoted' AS is_open, coalesce(s.payload ->> 'because', s.payload ->> 'detail') AS reason,
       s.payload #> '{members,unmet}' AS unmet,
       coalesce(s.payload ->> 'policy', s.payload #>> '{members,policy}') AS policy
FROM said s
WHERE (s.kind = 'version.promoted' AND s.resource = ANY(:refs))
   OR (s.kind LIKE '%.refused' AND s.payload ->> 'error' IN ('gate-not-satisfied', 'format-refused')
       AND (s.resource = ANY(:refs) OR s.namespace = :namespace))
ORDER BY s.ledger_index"""

JOBS = """SELECT s.ledger_index, s."at", s.actor, s.resource, s.zone, j.kind AS job_kind, j.about, j.requested_by,
       j.state, j.agent, j.attempts, j.fence, j.ended_at, j.error, s.payload ->> 'spec' AS specification
FROM said s
JOIN jobs j ON s.resource = 'job:' || j.namespace || '/' || j.id
WHERE s.kind = 'job.requested' AND s.payload ->> 'subject' = ANY(:refs)
ORDER BY s.ledger_index"""

MONITOR_RUNS = """SELECT s.ledger_index, s."at", s.actor, s.resource, s.zone, s.payload ->> 'deployment' AS deployment,
       m.is_drift, s.payload -> 'engines' AS engines, s.payload ->> 'results' AS results
FROM said s
JOIN monitor_runs m ON s.resource = 'monitor-run:' || m.id
WHERE s.kind = 'monitor.ran' AND s.payload ->> 'deployment' = ANY(:refs)
ORDER BY s.ledger_index"""

PEOPLE = """SELECT s.ledger_index, s."at", s.actor, s.resource
FROM said s
JOIN people p ON s.resource = 'person:' || p.ref
WHERE s.kind = 'person.known' AND s.resource = ANY(:refs)
ORDER BY s.ledger_index"""

REFUSALS = """SELECT s.ledger_index, s."at", s.actor, s.kind, s.resource, s.namespace, s.zone,
       s.payload ->> 'action' AS action, s.payload ->> 'error' AS error, s.payload #>> '{members,rule}' AS rule,
       s.payload #>> '{members,legal_basis}' AS legal_basis, s.payload #>> '{members,certainty}' AS certainty,
       s.payload ->> 'detail' AS reason, s.payload #>> '{members,policy}' AS policy
FROM said s
WHERE s.kind LIKE '%.refused' AND (s.resource = ANY(:refs) OR s.namespace = :namespace)
ORDER BY s.ledger_index"""

RESIDENCY = """SELECT s.ledger_index, s."at", s.actor, s.kind, s.resource, s.zone,
       coalesce(s.payload #>> '{members,movement}', CASE s.kind WHEN 'deployment.requested' THEN 'deploy'
         WHEN 'artifact.download_authorised' THEN 'download' ELSE 'place' END) AS movement,
       coalesce(s.payload #>> '{members,from_zone}', v.zone, s.zone) AS from_zone,
       coalesce(s.payload #>> '{members,to_zone}', s.payload ->> 'to_zone', s.zone) AS to_zone,
       s.kind NOT LIKE '%.refused' AS is_allowed, answer.rule,
       coalesce(s.payload #>> '{members,legal_basis}', written.rule ->> 'basis') AS legal_basis,
       coalesce(s.payload #>> '{members,certainty}', written.rule ->> 'certainty') AS certainty,
       coalesce(s.payload ->> 'detail', written.rule ->> 'title') AS reason, answer.policy
FROM said s
CROSS JOIN LATERAL (
  SELECT coalesce(s.payload #>> '{members,rule}', s.payload ->> 'rule') AS rule,
         coalesce(s.payload #>> '{members,policy}', s.payload ->> 'policy') AS policy
) answer
CROSS JOIN LATERAL (SELECT CASE WHEN answer.policy = :policy THEN :rules::jsonb -> answer.rule END AS rule) written
LEFT JOIN model_versions v ON s.payload ->> 'subject' = 'version:' || v.namespace || '/' || v.name || '@' || v.number
WHERE (s.kind IN ('artifact.upload_authorised', 'artifact.download_authorised') AND s.resource = ANY(:refs))
   OR (s.kind = 'deployment.requested' AND s.payload ->> 'subject' = ANY(:refs))
   OR (s.kind LIKE '%.refused' AND s.payload ->> 'error' = 'residency-refused'
       AND (s.resource = ANY(:refs) OR s.namespace = :namespace))
ORDER BY s.ledger_index"""

REVOCATIONS = """SELECT s.ledger_index, s."at", s.actor, s.kind, s.resource, s.namespace, r.number, r.kind AS revoked,
       r.target, r.about, r.since, r.because, r.lifts
FROM said s
JOIN revocations r ON s.resource = 'revocation:' || r.id
WHERE s.kind IN ('revocation.recorded', 'revocation.lifted')
ORDER BY s.ledger_index"""

STATEMENTS = """SELECT s.ledger_index, s."at", s.actor, s.resource, s.zone, t.predicate_type, t.identity, t.issuer,
       t.signed_at, t.digest, t.subjects, t.id
FROM said s
JOIN statements t ON t.id::text = s.payload ->> 'statement'
WHERE s.kind = 'statement.admitted' AND s.resource = ANY(:refs)
ORDER BY s.ledger_index"""

VERSIONS = """SELECT s.ledger_index, s."at", s.actor, s.resource, s.zone, v.tags, v.digest, v.stage, v.status,
       v.status_message, v.revoked_because, v.registered_by
FROM said s
JOIN model_versions v ON s.resource = 'version:' || v.namespace || '/' || v.name || '@' || v.number
WHERE s.kind = 'version.registered' AND s.resource = ANY(:refs)
ORDER BY s.ledger_index"""
