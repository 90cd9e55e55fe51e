"""Checks an OpenAPI document against the specification's own schema."""

import json
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator

document = json.load(sys.stdin)
errors = [str(e.message) for e in OpenAPIV31SpecValidator(document).iter_errors()]
print(json.dumps({"errors": errors, "paths": len(document["paths"])}))
