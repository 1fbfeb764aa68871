"""How much of a dataset has come, beside its bar."""

from __future__ import annotations

from rich.progress import DownloadColumn, ProgressColumn, Task
from rich.text import Text

from tuiae.data.dataset import DOWNLOADING


class Amount(ProgressColumn):
    """`3.1/9.9 MB` of a download, `10,000/70,000 images` of what is prepared, nothing where the end is not known."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = DownloadColumn()

    def render(self, task: Task) -> Text:
        if task.description.startswith(DOWNLOADING):
            return self._bytes.render(task)
        if task.total is None:
            return Text()
        return Text(f"{task.completed:,.0f}/{task.total:,.0f} images", "progress.download")
