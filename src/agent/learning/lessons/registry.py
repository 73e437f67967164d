"""The table of lessons: a new kind is one module beside this one, and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.learning.lessons import mishaps, procedures, skills, statements, synonyms, usage
from agent.learning.lessons.lesson import Evidence, Findings, LessonKind


@dataclass(frozen=True, slots=True)
class Lesson:
    """A kind of lesson: its name, the kind of its memories, and what finds it."""

    name: str
    kind: LessonKind
    find: Callable[[Evidence], Findings]


LESSONS: tuple[Lesson, ...] = (
    Lesson(skills.NAME, "skill", skills.find_skills),
    Lesson(procedures.NAME, "skill", procedures.find_procedures),
    Lesson(usage.JOINS, "pattern", usage.find_joins),
    Lesson(usage.FILTERS, "pattern", usage.find_filters),
    Lesson(synonyms.NAME, "pattern", synonyms.find_synonyms),
    Lesson(mishaps.REPAIRS, "pattern", mishaps.find_repairs),
    Lesson(mishaps.FAILURES, "pattern", mishaps.find_failures),
    Lesson(statements.NAME, "fact", statements.find_statements),
)
