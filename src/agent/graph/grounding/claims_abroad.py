"""Hold the words of change of some languages beside English: what is asked for, what is said to be done, and what takes it back. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """The words of one language, as patterns: `asked` in a question, `done` said of a change, `myself` with it, `not_done` beside it."""

    asked: re.Pattern[str]
    done: re.Pattern[str]
    auxiliary: re.Pattern[str]
    myself: re.Pattern[str]
    finished: re.Pattern[str]
    not_done: re.Pattern[str]

    def claims(self, clause: str, *, asked: bool) -> bool:
        """Return whether a clause says that something was done: by the speaker, or, where it was asked for, at all."""
        if self.not_done.search(clause):
            return False
        done = self.done.search(clause) is not None
        if done and self.myself.search(clause):
            return True
        return asked and (
            (done and self.auxiliary.search(clause) is not None) or self.finished.search(clause) is not None
        )


def _words(text: str, *, ends: str = r"\b") -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{'|'.join(text.split())}){ends}", re.IGNORECASE)


_GERMAN = Language(
    asked=_words(
        "lösch änder(?!ung) setz füg erstell leg(?:e)?\\b stornier schick send aktualisier entfern markier buch(?:e|en)?\\b trag(?:e)?\\b erhöh senk benenn"
        " speicher schließ archivier deaktivier aktivier korrigier ersetz verschieb überweis erstatt mach verschick kündig bestätig merk",
        ends="",
    ),
    done=_words(
        r"gelöscht geändert gesetzt hinzugefügt eingefügt erstellt angelegt storniert verschickt versendet gesendet geschickt aktualisiert entfernt"
        r" markiert gebucht eingetragen erhöht gesenkt umbenannt gespeichert geschlossen archiviert deaktiviert aktiviert korrigiert ersetzt verschoben"
        r" überwiesen erstattet zurückgesetzt rückgängig angepasst gekündigt bestätigt gemerkt zusammengeführt umgestellt angehoben abgeschlossen gestrichen"
    ),
    auxiliary=_words(r"wurden? worden ist sind habe haben"),
    myself=re.compile(r"\b(?:ich\s+(?:habe|hab)|habe\s+ich|wir\s+haben|haben\s+wir)\b", re.IGNORECASE),
    finished=re.compile(r"^\W*(?:erledigt|fertig|gemacht|geschafft|alles erledigt)\b|\b(?:ist|sind) (?:weg|raus|fort)\b|\berfolgreich\b|\b(?:ist|sind|steht) (?:jetzt|nun)\b", re.IGNORECASE),
    not_done=_words(
        r"nicht kein\w* nichts nie niemand ohne noch wartet warten abgelehnt verweigert sobald wenn falls würde würden wird werden kann können konnte"
        r" könnte soll sollte muss fehlgeschlagen gescheitert erst bevor nachdem bereits schon beantragt vorgeschlagen \w*\?"
    ),
)  # fmt: skip
_FRENCH = Language(
    asked=_words(
        "annul supprim modifi mets mettez ajout cré(?:e|ez)\\b envo(?:ie|yez) chang renomm rembours archiv efface passe(?:z)?\\b marqu activ désactiv corrig"
        " ferme remplac augment rédui déplac valid confirm enregistr note(?:z)?\\b retir",
        ends="",
    ),
    done=_words(
        r"(?:annul|supprim|modifi|ajout|cré|envoy|chang|renomm|rembours|archiv|effac|pass|marqu|activ|désactiv|corrig|ferm|remplac|augment|déplac|valid|"
        r"confirm|enregistr|not|retir|baiss|régl|clôtur|restaur|notifi)ée?s? mise?s? rédui(?:te?s?)"
    ),
    auxiliary=_words(r"a ont est sont été"),
    myself=re.compile(r"\bj['\u2019]ai\b|\bnous avons\b", re.IGNORECASE),
    finished=re.compile(r"^\W*(?:c['\u2019]est fait|fait|voilà|terminé)\b|\bavec succès\b|\b(?:est|sont) (?:maintenant|désormais)\b", re.IGNORECASE),
    not_done=_words(
        r"pas rien aucune? jamais personne sans attend attente refusée? rejetée? si quand lorsque sera seront serait peut peux pourra doit échouée? échec"
        r" n['\u2019] ne déjà encore avant après demandée? \w*\?",
        ends=r"(?!\w)",
    ),
)  # fmt: skip
_SPANISH = Language(
    asked=_words(
        "actualiz elimin borr cancel añad agreg cre[ae] cambi env[íi] modific insert marc pon(?:ga)?\\b renombr archiv reembols cierr muev guard activ desactiv"
        " corrig corrij quit sub[ea]\\b baj[ae]\\b confirm registr anul reserv",
        ends="",
    ),
    done=_words(
        r"(?:actualiz|elimin|borr|cancel|agreg|cre|cambi|envi|modific|insert|marc|renombr|archiv|reembols|cerr|guard|activ|desactiv|quit|confirm|registr|anul|"
        r"reserv|aument|baj|ajust|restaur|notific)ad[oa]s? (?:añad|mov|correg|reduc|sub)id[oa]s? puest[oa]s? deshech[oa]s?"
    ),
    auxiliary=_words(r"ha han fue fueron está están queda quedan sido"),
    myself=re.compile(r"(?<!\w)(?:he|hemos)\b", re.IGNORECASE),
    finished=re.compile(r"^\W*(?:listo|hecho|ya está|completado)\b|\bcon éxito\b|\bcorrectamente\b|\b(?:es|está|están) ahora\b|\bahora (?:es|está)\b", re.IGNORECASE),
    not_done=_words(
        r"no nada nadie nunca sin espera\w* pendientes? rechaz\w* si cuando será serán sería puede podría debe fall\w* falló aún todavía antes después ningun\w* \w*\?"
    ),
)  # fmt: skip
_ITALIAN = Language(
    asked=_words("aggiorn elimin cancell aggiung cre[ai] cambi invi modific inser segn rinomin archivi rimbors chiud spost salv attiv disattiv corregg annull rimuov imposta", ends=""),
    done=_words(
        r"(?:aggiorn|elimin|cancell|cre|cambi|invi|modific|segn|rinomin|archivi|rimbors|spost|salv|attiv|disattiv|annull|registr|conferm|impost|aument)at[oaie]"
        r" aggiunt[oaie] inserit[oaie] rimoss[oaie] chius[oaie] corrett[oaie] ridott[oaie]"
    ),
    auxiliary=_words(r"è sono stat[oaie] ora"),
    myself=re.compile(r"\b(?:ho|abbiamo)\b", re.IGNORECASE),
    finished=re.compile(r"^\W*(?:fatto|ecco fatto|completato)\b|\bcon successo\b|\b(?:è|sono) ora\b", re.IGNORECASE),
    not_done=_words(r"non niente nulla nessun\w* mai senza attesa attende rifiutat\w* se quando sarà saranno sarebbe può deve fallit\w* ancora già prima dopo \w*\?"),
)  # fmt: skip
_PORTUGUESE = Language(
    asked=_words("atualiz elimin apag cancel adicion cri[ae] mud[ea] envi[ae] modific alter insir marqu renome arquiv reembols fech mov[ea] guard ativ desativ corrij remov exclu", ends=""),
    done=_words(
        r"(?:atualiz|elimin|apag|cancel|adicion|cri|mud|envi|modific|alter|marc|renome|arquiv|reembols|fech|guard|ativ|desativ|registr|confirm|anul|aument)(?:ad[oa]s?|ei)"
        r" (?:inser|remov|exclu|mov|corrig|reduz)(?:id[oa]s?|i|í|íd[oa]s?)"
    ),
    auxiliary=_words(r"foi foram está estão sido fo"),
    myself=re.compile(r"\beu\b|\b\w+(?:uei|iei|rei|nei|lei|quei|tei|dei|ei)\b", re.IGNORECASE),
    finished=re.compile(r"^\W*(?:pronto|feito|concluído)\b|\bcom sucesso\b|\bagora (?:é|está)\b", re.IGNORECASE),
    not_done=_words(r"não nada ninguém nunca sem espera\w* aguard\w* pendentes? rejeit\w* recus\w* se quando será serão seria pode deve falh\w* ainda antes depois nenhum\w* já \w*\?"),
)  # fmt: skip
_DUTCH = Language(
    asked=_words("verwijder wijzig voeg maak verstuur stuur annuleer werk(?:\\s)?bij update zet markeer hernoem archiveer sluit verplaats bewaar activeer deactiveer corrigeer verhoog verlaag", ends=""),
    done=_words(
        r"verwijderd gewijzigd toegevoegd aangemaakt verstuurd verzonden geannuleerd bijgewerkt gezet gemarkeerd hernoemd gearchiveerd gesloten verplaatst bewaard"
        r" opgeslagen geactiveerd gedeactiveerd gecorrigeerd verhoogd verlaagd teruggezet aangepast terugbetaald"
    ),
    auxiliary=_words(r"is zijn werd werden heb hebben"),
    myself=re.compile(r"\b(?:ik heb|heb ik|we hebben)\b", re.IGNORECASE),
    finished=re.compile(r"^\W*(?:klaar|gedaan|gelukt|voltooid)\b|\b(?:is|zijn) nu\b", re.IGNORECASE),
    not_done=_words(r"niet geen niets nooit niemand zonder wacht\w* afgewezen geweigerd zodra als wanneer zou zal zullen wordt worden kan kon moet mislukt nog eerst voordat nadat al \w*\?"),
)  # fmt: skip
_EAST = Language(
    asked=re.compile(r".*?(?:[把将请]|改|删|取消|更新|发送|创建|添加|设置|預約|预订|して|해\s?줘|하세요|해주세요)", re.DOTALL),
    done=re.compile(
        r"已经?[^,,。]{0,8}?(?:更新|删除|完成|发送|取消|创建|修改|添加|改为|改成|设置|设为|预订|保存|更改|移除|退款|归档)|(?:更新|删除|发送|取消|创建|修改|添加|设置)(?:好了|完成|成功)|"
        r"(?:更新|削除|送信|変更|作成|追加|登録|予約|取り消し|キャンセル)(?:し|され)まし(?:た|て)|(?:삭제|변경|수정|추가|생성|전송|취소|업데이트|예약)(?:했|되었|됐|하였)"
    ),
    auxiliary=re.compile(""),
    myself=re.compile(r"(?!)"),
    finished=re.compile(r"^\W*(?:完成|好了|搞定|完了しました|완료)"),
    not_done=re.compile(r"未|没|沒|不|尚|等待|待批|失败|拒绝|无法|之后|如果|才|吗|ません|ない|待ち|失敗|拒否|않|못|실패|거부|대기"),
)  # fmt: skip
LANGUAGES = (_EAST, _GERMAN, _FRENCH, _SPANISH, _ITALIAN, _PORTUGUESE, _DUTCH)
_LETTERS = re.compile(
    r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]|[äöüßàâçéèêëîïôûùñáíóúãõìò]|\b(?:ich|der|die|das|und|ist|wurde|le|la|les|des|est|el|los|il|gli|het|een|de|du|que|para|che)\b",
    re.IGNORECASE,
)


def claims_abroad(clause: str, *, asked: bool) -> bool:
    """Return whether a clause in another language than English says that something was done."""
    return _LETTERS.search(clause) is not None and any(language.claims(clause, asked=asked) for language in LANGUAGES)


def asks_abroad(question: str) -> bool:
    """Return whether a question in another language than English begins with, or politely holds, a request for a change."""
    starts = re.split(
        r"[.!?;:,]\s*|\b(?:bitte|por favor|s['\u2019]il (?:te|vous) plaît|per favore|alsjeblieft|und|et|y|e|en)\b",
        question,
    )
    return any(language.asked.match(start.strip()) for start in starts for language in LANGUAGES)
