"""Findings that are none, each with its reason; one that no tool finds any more must go."""

from tests.audit.findings import Explained

CODE = (
    Explained(
        "B608",
        "reservations/tables/round_trips.py",
        "counts = .*",
        "numbers of the statements beside it, nothing given",
    ),
    Explained(
        "B608",
        "reservations/tables/round_trips.py",
        "columns = .*",
        "statements of the .sql files, their arguments apart",
    ),
    Explained(
        "B104", "reservations/app/health.py", "ANYWHERE = .*", "it asks an address that is bound already, by loopback"
    ),
    Explained("B104", "reservations/app/stack/addresses.py", "host = .*", "the same: an address for clients"),
    Explained(
        "B101", "reservations/app/serving.py", "assert runner.server is not None .*", "only for the type checker"
    ),
    Explained(
        "B404",
        "reservations/app/stack/installations.py",
        "import subprocess",
        "`make run` starts the servers of its own machine",
    ),
    Explained("B404", "reservations/app/stack/leftovers.py", "import subprocess", "the same"),
    Explained("B404", "reservations/app/stack/programs.py", "import subprocess", "the same"),
    Explained(
        "B603",
        "reservations/app/stack/installations.py",
        r"asked = subprocess.run\(\[program, option\].*",
        "no shell; programs that the machine's administrator installed",
    ),
    Explained(
        "B603",
        "reservations/app/stack/leftovers.py",
        r"command = subprocess.run\(asked.*",
        "no shell; /bin/ps and a number",
    ),
    Explained(
        "B603",
        "reservations/app/stack/programs.py",
        r"asked = subprocess.run\(test.*",
        "the path is an argument, not text",
    ),
    Explained("B606", "reservations/app/stack/launcher.py", r"os.execv\(argv\[0\], argv\).*", "no shell is wanted"),
    Explained("B101", "reservations/app/drill/ground.py", "assert self.process .*", "only for the type checker"),
    Explained("B311", "reservations/app/drill/load.py", ".*random\\.rand.*", "what a drill books need not be secret"),
    Explained("B105", "reservations/app/stack/postgres.py", "PASSWORD_FILE = .*", "the name of a file"),
    Explained(
        "B108",
        "reservations/app/stack/postgres.py",
        "ELSEWHERE = Path.*",
        "what is made there belongs to root and is closed to others, or is refused",
    ),
)

HASHES = tuple(
    Explained(
        "Hex High Entropy String",
        f"requirements/{name}.txt",
        r"(# What it was made from: |--hash=sha256:)[0-9a-f]{64}( \\)?",
        "hashes of what may be installed",
    )
    for name in ("audit", "bench", "build", "dev", "docs", "lock", "run", "service", "tracing")
)
VENDORED = tuple(
    Explained(kind, path, text, "a checksum of a file that others made")
    for path in ("reservations/http/assets/asyncapi-react/vendored.json", "tests/asyncapi/vendored.json")
    for kind, text in (
        ("Hex High Entropy String", '"[A-Za-z0-9.-]+": "[0-9a-f]{64}",?'),
        ("Base64 High Entropy String", '"integrity": "sha512-[A-Za-z0-9+/=]{88}",'),
    )
)
FINGERPRINTS = tuple(
    Explained(
        "Hex High Entropy String", f"tests/unit/{name}.py", '(.*, )?"[0-9a-f]{12}",.*', "fingerprints of others' code"
    )
    for name in ("test_what_we_lean_on_in_aiohttp", "test_what_we_lean_on_in_faust")
)
EXAMPLES = (
    Explained("Basic Auth Credentials", "docs/processes.md", ".*//user:password@.*", "an example"),
    Explained(
        "Basic Auth Credentials", "reservations/app/settings/database.py", ".*//user:password@host:.*", "an example"
    ),
    Explained(
        "Basic Auth Credentials",
        "tests/integration/test_database_tls.py",
        ".*//me:secret@db.invalid/.*",
        "nobody's login",
    ),
    Explained("Basic Auth Credentials", "tests/unit/test_settings.py", ".*//me:secret@localhost/x.*", "nobody's login"),
    Explained("Secret Keyword", "docs/security-postgres.md", ".* PASSWORD 'change-me-[a-z]+';", "an example"),
    Explained(
        "Basic Auth Credentials", "operations/kubernetes/credentials.example.yaml", ".*:CHANGE-ME@.*", "an example"
    ),
    Explained("Secret Keyword", "operations/kubernetes/credentials.example.yaml", ".*: CHANGE-ME", "an example"),
)
OTHERS = (
    *(
        Explained("Secret Keyword", f"operations/kubernetes/{name}.yaml", "automount.*: false", "no secret is wanted")
        for name in ("gateway", "worker")
    ),
    Explained("Secret Keyword", "reservations/app/stack/postgres.py", "PASSWORD_FILE = .*", "the name of a file"),
    Explained(
        "Base64 High Entropy String",
        "reservations/migrations/0003_months.sql",
        ".*'[0-9A-Z]{32}'.*",
        "the alphabet of confirmation codes",
    ),
    Explained(
        "Base64 High Entropy String",
        "reservations/models/identifiers.py",
        '.*"[0-9A-Z]{32}".*',
        "the same",
    ),
    Explained(
        "Hex High Entropy String", "tests/integration/test_api.py", 'trace = "[0-9a-f]{32}"', "the id of a trace"
    ),
)

EXPLAINED = (*CODE, *HASHES, *VENDORED, *FINGERPRINTS, *EXAMPLES, *OTHERS)
