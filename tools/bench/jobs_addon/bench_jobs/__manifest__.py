{
    "name": "Benchmark: a job that sends a message",
    "version": "1.0",
    "license": "LGPL-3",
    "depends": ["queue_job"],
    "installable": True,
}
