"""What a person sees who opens one of the links that W&B's client prints. No data: a page asks for no key."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>embedded W&amp;B server</title>
<style>body { font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem }
pre { background: #f3f4f6; padding: .75rem; overflow-x: auto }</style>
<h1>The embedded W&amp;B server is running</h1>
<p>It keeps runs, sweeps and artifacts for the <code>wandb</code> client; it draws no charts.</p>
<p>Pictures of every trial and sweep are in <code>training_plots/</code>; what is done, and how it went:</p>
<pre>python scripts/manage_completed_runs.py list
python scripts/manage_completed_runs.py status RUN_ID</pre>
<p>Everything that was logged, from Python (use the two <code>export</code> lines of the server first):</p>
<pre>import wandb
for run in wandb.Api().runs("local/transformer-e2e"):
    print(run.name, run.state, run.summary.get("eval/loss"), len(run.history()))</pre>
</html>
"""


def page_routes() -> list[Route]:
    """The front page, and the addresses that the client prints for projects, runs and sweeps."""
    project = "/{entity}/{project}"
    paths = ("/", project, project + "/runs/{name}", project + "/sweeps/{name}")
    return [Route(path, _page, methods=["GET"]) for path in paths]


async def _page(request: Request) -> HTMLResponse:
    return HTMLResponse(_PAGE)
