"""Tells places from the other things that people live in and move to."""

import re

from extractors.reading.english.lexicon import any_of

_NO_PLACE = re.compile(
    r"(?:\A|[\s-])"
    + any_of(
        "team squad department dept division unit group chapter slide step level stage phase tier plan"
        " version release branch board channel ticket sprint floor room ward row seat desk gate track"
        " class grade section page file folder format premium pro plus basic free standard enterprise"
        " business family ultimate gold silver platinum beta alpha sales marketing finance hr it legal"
        " engineering support operations logistics product design accounting research procurement"
        " purchasing security data infrastructure platform python java javascript typescript rust go"
        " golang ruby kotlin swift scala php perl node react vue angular svelte django flask rails laravel"
        " spring kubernetes docker terraform ansible linux ubuntu debian fedora arch windows macos ios"
        " android chrome firefox safari edge brave opera vim neovim emacs vscode vs_code intellij xcode"
        " eclipse excel word powerpoint outlook teams slack discord zoom telegram whatsapp signal notion"
        " obsidian evernote trello jira linear asana confluence figma sketch photoshop github gitlab"
        " bitbucket git aws azure gcp google gmail drive dropbox icloud spotify netflix postgres"
        " postgresql mysql mongodb redis sqlite oracle kafka spark snowflake databricks tableau pandas"
        " pytorch tensorflow pip uv poetry npm yarn bun maven gradle cmake iphone ipad mac pixel samsung"
        " markdown latex json yaml xml csv graphql grpc rest api cloud ai chatgpt claude gemini copilot"
        " zotero scrum kanban agile monday tuesday wednesday thursday friday saturday sunday"
    )
    + r"(?=\Z|[\s.,-])"
    r"|\d|\.(?:js|io|net|py|ai)\b",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"[a-z][A-Z]")
_OF_A_THING = re.compile(
    r"\s*(?:v?\d|(?:"
    + any_of(
        "plan team version tier department dept subscription package server stack branch framework"
        " board account database format app browser edition license licence mode"
    )
    + r")\b)",
    re.IGNORECASE,
)
_OFTEN_MEANT_LOOSELY = re.compile(
    r"\b(?:practically|basically|virtually|literally|pretty much|essentially|mentally)\b",
    re.IGNORECASE,
)


def is_place(name: str, after: str = "", before: str = "") -> bool:
    """Returns whether a capitalised name is where somebody can live, as far as its words tell.

    after: what follows the name ("3.12", "plan"). before: the clause up to it ("I practically").
    """
    plain = name.removeprefix("the ").strip()
    known = any(pattern.search(plain) for pattern in (_NO_PLACE, _CAMEL))
    return not (known or _OF_A_THING.match(after) or _OFTEN_MEANT_LOOSELY.search(before))
