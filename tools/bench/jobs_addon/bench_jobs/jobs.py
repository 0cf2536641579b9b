import requests

from odoo import models


class BenchJobs(models.AbstractModel):
    """The job that is compared with the drain: one request, as the addon's adapter sends it."""

    _name = "bench.jobs"
    _description = "Benchmark Jobs"

    def send(self, url, headers, data):
        """Send one message and give its id."""
        answer = requests.post(url, headers=headers, data=data, timeout=30)
        answer.raise_for_status()
        return answer.json()["id"][0]
