"""One thing that `recorder verify` found: what was checked, where, what is wrong, what to do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, or a note (`is_problem` false) that does not make the lake wrong."""

    check: str
    where: str
    detail: str
    remedy: str
    is_problem: bool = True

    def __str__(self) -> str:
        return f"{self.check}: {self.where}: {self.detail}" + (f"; {self.remedy}" if self.remedy else "")
