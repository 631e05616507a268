"""The application's process: ``python -m scripts.labkit.application NAME``, ended by SIGTERM."""

from __future__ import annotations

import logging
import signal
import sys
import threading

from scripts.labkit.application.files import FileWriter
from scripts.labkit.application.log import AcknowledgementLog, read_log
from scripts.labkit.application.rows import RowWriter
from scripts.labkit.application.settings import load_settings
from scripts.labkit.application.writer import Writer
from scripts.labkit.layout import LabLayout


def main(name: str) -> int:
    """Run every writer in a thread of its own until a signal comes or one of them fails."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    lab = LabLayout.from_environment()
    settings = load_settings(lab, name)
    assert settings is not None, "whoever starts the process saves the settings first"
    cluster = lab.cluster(settings.cluster)
    path = settings.log_file(cluster)
    history = read_log(path) if path.exists() else {}
    log = AcknowledgementLog(path)
    writers: list[Writer] = [FileWriter(cluster, settings, log)]
    writers += [RowWriter(cluster, settings, table, log) for table in settings.tables]

    stop = threading.Event()
    failures: list[BaseException] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def run(writer: Writer) -> None:
        try:
            writer.run(history.get(writer.data_set, []), stop)
        except BaseException as error:
            logging.exception("the writer of %s failed", writer.data_set)
            failures.append(error)
            stop.set()

    threads = [threading.Thread(target=run, args=(writer,), name=writer.data_set) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
