"""What OpenAPI cannot say of a request's validity, so that schemathesis judges only what it can know."""

import schemathesis

# Each may stand for the envelope's `batch_id`.
BATCH_ID = ("Idempotency-Key", "Devtrail-Batch-Id")
# In NDJSON these stand for the envelope.
ENVELOPE = {"Devtrail-Batch-Id": "b1", "Devtrail-Sent-At": "2026-03-01T09:15:02Z", "Devtrail-Schema-Version": "1.0"}


def name_one_batch(case, is_valid):
    """Makes the places that name the batch agree, where the request shall be valid."""
    headers, named = case.headers, None
    if case.media_type == "application/json":
        named = case.body.get("batch_id") if isinstance(case.body, dict) else None
        if named is None:
            # A header would stand for the member that is missing here, and make the request valid.
            for name in BATCH_ID:
                headers.pop(name, None)
            return
    elif case.media_type == "application/x-ndjson" and is_valid:
        for name, value in ENVELOPE.items():
            headers.setdefault(name, value)
    present = [name for name in BATCH_ID if name in headers]
    if is_valid and (named is not None or len(present) > 1):
        for name in present:
            headers[name] = named if named is not None else headers[present[0]]


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.headers is None or not case.meta:
        return
    is_valid = case.meta.generation.mode.is_positive
    if case.operation.path == "/v1/events":
        name_one_batch(case, is_valid)
    if "Content-Encoding" in case.headers and is_valid:
        # The body goes out as it is: the generator compresses nothing.
        case.headers["Content-Encoding"] = "identity"
    data = case.meta.phase.data
    if getattr(data, "parameter", None) == "Authorization" and "MISSING" in str(getattr(data, "scenario", "")):
        # The command line adds the key to every request, also to those that shall have none.
        for headers in (case.headers, kwargs.get("headers") or {}):
            headers.pop("Authorization", None)
